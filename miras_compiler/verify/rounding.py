"""How far rounding moves the results of the literal model: its own results on inputs, and by way of states, that differ in their last bits.

Any other way to compute them rounds elsewhere, by as much. A result that is moved by 10⁻⁷ is known to seven digits, whoever computes it.
States count, too: what a memory of zeros makes of one value for all channels is a tie, which no input's last bit breaks, but a rounded sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from miras_compiler.verify.inputs import Inputs, Result, Run
from miras_compiler.verify.measure import largest_error, least_scale_of, rms_error

DRAWS = 3
Results = Mapping[str, Tensor]
Pulled = tuple[tuple[Tensor, Mapping[str, Tensor]], Mapping[str, Tensor]]


def nudged(inputs: Inputs, seed: int) -> Inputs:
    """Every number one unit in the last place of its precision further up or down; 0 and infinities stay."""
    generator = torch.Generator().manual_seed(seed)
    return inputs.map(lambda x: nudge(x, generator))


def nudge(x: Tensor, generator: torch.Generator) -> Tensor:
    """The same number with another last bit, and with the same derivative."""
    up = torch.rand(x.shape, generator=generator) < 0.5
    ends = torch.where(up, torch.full_like(x, torch.inf), torch.full_like(x, -torch.inf))
    moved = torch.nextafter(x.detach(), ends)
    return torch.where((x == 0) | ~x.isfinite(), x, x + (moved - x).detach())


def nudged_between(run: Run, seed: int) -> Run:
    """`run` token by token; the state that one token hands to the next is nudged."""

    def steps(inputs: Inputs) -> Result:
        generator = torch.Generator().manual_seed(seed)
        outputs, state = [], dict(inputs.state)
        for t in range(inputs.length):
            if t:
                state = {name: nudge(x, generator) if x.is_floating_point() else x for name, x in state.items()}
            output, state = run(replace(inputs.tokens(t, t + 1), state=state))
            outputs.append(output)
        return torch.cat(outputs, 1), state

    return steps


def named(pulled: Pulled) -> dict[str, Tensor]:
    """Outputs, states and gradients by name: "o", "state W", "d q"."""
    (output, state), gradients = pulled
    return {"o": output} | {f"state {name}": x for name, x in state.items()} | {f"d {name}": x for name, x in gradients.items()}


def least_scales(results: Results) -> dict[str, float]:
    """The least scale of every result: that of its kind."""
    kinds = {name.split()[0] for name in results}
    least = {kind: least_scale_of({name: x for name, x in results.items() if name.split()[0] == kind}) for kind in kinds}
    return {name: least[name.split()[0]] for name in results}


def rounding_of(pull: Callable[[Inputs, int | None], Pulled], inputs: Inputs) -> dict[str, float]:
    """Largest change of every floating-point result over its largest entry; with a seed, `pull` may nudge what it makes on its way."""
    exact = named(pull(inputs, None))
    scales = least_scales(exact)
    moved = [named(pull(nudged(inputs, seed), seed)) for seed in range(DRAWS)]
    return {
        name: max(largest_error(each[name], x, scales[name] if name != "o" else 0.0) for each in moved)
        for name, x in exact.items()
        if x.is_floating_point()
    }


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the largest number that any operation comes to, backward passes included; what is no number does not count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(x, Tensor) and x.is_floating_point() and x.numel() and not (x.is_meta or x._is_zerotensor()):  # have no memory
                self.size = max(self.size, float(torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0).abs().max()))
        return result


def rounding_in(pull: Callable[[Inputs], Pulled], inputs: Inputs, exact: Results) -> dict[str, float]:
    """RMS error of every result of `pull`, in the precision of the inputs, against `exact`: the worst of inputs that are nudged."""
    scales = least_scales(exact)
    errors: dict[str, float] = {}
    for seed in range(DRAWS):
        for name, x in named(pull(nudged(inputs, seed) if seed else inputs)).items():
            if x.is_floating_point():
                errors[name] = max(errors.get(name, 0.0), rms_error(x, exact[name], scales[name]))
    return errors
