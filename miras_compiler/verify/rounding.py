"""The effect of rounding on the results of the literal model: its results when inputs and every operation differ in their last bits.

Any other way to compute them rounds elsewhere, by as much. A result that is moved by 10⁻⁷ is known to seven digits, in every form.
Inputs alone are not enough: of 1 − tanh² no input's last bit changes the part that cancels, and no tie between channels breaks before a sum
is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.measure import largest_error, least_scale_of, rms_error

DRAWS = 3
TRIES = 8  # of a precision's own error, of which one in two may be a third of another
SUMS = {"bmm", "mm", "sum", "mean"}
ENTRYWISE = {
    *("add", "sub", "rsub", "mul", "div", "reciprocal", "pow", "sqrt", "rsqrt", "exp", "log", "erf", "cosh", "sinh", "asinh", "atan"),
    *("tanh", "tanh_backward", "sigmoid", "sigmoid_backward", "softplus", "softplus_backward", "silu", "silu_backward"),
    *("gelu", "gelu_backward", "_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data"),
}  # operations that round
Array = NDArray[Any]
Results = Mapping[str, Tensor]
Pulled = tuple[tuple[Tensor, Mapping[str, Tensor]], Mapping[str, Tensor]]


def nudged(inputs: Inputs, seed: int) -> Inputs:
    """Every number one unit in the last place of its precision further up or down."""
    generator = torch.Generator().manual_seed(seed)
    return inputs.map(lambda x: nudge(x, generator))


def nudge(x: Tensor, generator: torch.Generator) -> Tensor:
    """The same numbers with other last bits."""
    return moved(x, (torch.rand(x.shape, generator=generator) < 0.5).numpy())


def has_numbers(x: object) -> bool:
    """True for a tensor of floating-point numbers that lie in memory."""
    return isinstance(x, Tensor) and x.is_floating_point() and not (x.is_meta or x._is_zerotensor())


def bits_of(x: Tensor) -> Array:
    """The bits of a tensor's numbers as integers of their size: of a sign, numbers and their integers have the same order.

    In NumPy, whose operations on few numbers take a fraction of the time.
    """
    integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    bits: Array = x.detach().view(integers).numpy()
    return bits


@cache
def exact_bits(dtype: torch.dtype) -> tuple[Any, Any]:
    """The bits of 1 and of infinity."""
    one, infinity = bits_of(torch.tensor([1.0, torch.inf], dtype=dtype))
    return one, infinity


def moved(x: Tensor, up: Array) -> Tensor:
    """The next numbers up or down; 0, ±1 and infinities stay: they are exact, or a function has reached its end."""
    bits, (one, infinity) = bits_of(x), exact_bits(x.dtype)
    size = bits & np.iinfo(bits.dtype).max
    is_exact = (size == 0) | (size == one) | (size >= infinity)
    away = np.where(is_exact, 0, np.where(up == (bits >= 0), 1, -1)).astype(bits.dtype)
    return torch.from_numpy(np.asarray(bits + away)).view(x.dtype)


class Rounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation that rounds, backward passes included, has results with other last bits.

    A function of single entries makes the same of the same, wherever it stands; sums may be formed in any order, and so equal ones differ.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name not in SUMS | ENTRYWISE or not has_numbers(result):
            return result
        return nudge(result, self.generator) if name in SUMS else moved(result, coin(result, self.seed))


def coin(x: Tensor, seed: int) -> Array:
    """Returns true for numbers that go up: by the seed, and the same for the same number."""
    kind: Any = np.int64 if x.dtype == torch.float64 else np.int32
    bits = bits_of(x).reshape(-1).astype(kind)
    up: Array = (bits + kind(seed)) * np.array(2654435761).astype(kind) >> 20 & 1 == 0
    return up.reshape(tuple(x.shape))


def named(pulled: Pulled) -> dict[str, Tensor]:
    """Outputs, states and gradients by name: "o", "state W", "d q"."""
    (output, state), gradients = pulled
    return {"o": output} | {f"state {name}": x for name, x in state.items()} | {f"d {name}": x for name, x in gradients.items()}


def least_scales(results: Results) -> dict[str, float]:
    """The least scale of every result: that of its kind."""
    kinds = {name.split()[0] for name in results}
    least = {kind: least_scale_of({name: x for name, x in results.items() if name.split()[0] == kind}) for kind in kinds}
    return {name: least[name.split()[0]] for name in results}


@torch.enable_grad()
def rounding_of(pull: Callable[[Inputs], Pulled], inputs: Inputs, pulled: Callable[[], Pulled] | None = None) -> dict[str, float]:
    """Largest change of every floating-point result over its largest entry; gradients too, where the caller wants none of its own.

    `pulled` gives the results on the inputs as they are, where somebody else needs them, too.
    """
    exact = named(pull(inputs) if pulled is None else pulled())
    scales = least_scales(exact)
    others = [named(_elsewhere(pull, inputs, seed)) for seed in range(DRAWS)]
    return {
        name: max(largest_error(each[name], x, scales[name] if name != "o" else 0.0) for each in others)
        for name, x in exact.items()
        if x.is_floating_point()
    }


def _elsewhere(pull: Callable[[Inputs], Pulled], inputs: Inputs, seed: int) -> Pulled:
    """The results where inputs and every operation are rounded otherwise."""
    given = nudged(inputs, seed)
    with Rounded(seed):
        return pull(given)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the largest number that any operation comes to, backward passes included; nan does not count."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if has_numbers(x) and x.numel():
                self.size = max(self.size, float(torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0).abs().max()))
        return result


def rounding_in(pull: Callable[[Inputs], Pulled], inputs: Inputs, exact: Results) -> dict[str, float]:
    """RMS error of every result of `pull`, in the precision of the inputs, against `exact`: the worst of inputs that are nudged."""
    scales = least_scales(exact)
    errors: dict[str, float] = {}
    for seed in range(TRIES):
        for name, x in named(pull(nudged(inputs, seed) if seed else inputs)).items():
            if x.is_floating_point():
                errors[name] = max(errors.get(name, 0.0), rms_error(x, exact[name], scales[name]))
    return errors
