"""Teacher-forced tokens: a real length, every chunk from its own float64 state, and no value on which float32 takes another branch."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from miras_compiler.bench.precision import Tensors, sensitivity, single, steady
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape

MARGINS = {torch.float32: 1e-4, torch.bfloat16: 0.1}  # the least size of a sign's argument, far above its error


class Forced(NamedTuple):
    """Packed sequences of a chunk each; `state` is the initial state of each."""

    inputs: Tensors
    state: Tensors
    cu_seqlens: Tensor


class Signs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the arguments of signs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Tensor] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if function is torch.ops.aten.sign.default:
            self.found.append(args[0])
        return function(*args, **(kwargs or {}))


def forced(subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, regime: Regime) -> Forced:
    """Tokens of one sequence, as many as fill chunks, cut into these; steps and decays smaller than in `regime` until it is steady."""
    shape = shape._replace(tokens=shape.tokens // subject.tile * subject.tile)
    cu_seqlens = torch.arange(0, shape.tokens + 1, subject.tile, dtype=torch.int32, device=subject.device)

    def draw(regime: Regime, seed: int) -> tuple[Tensors, Tensors]:
        return in_chunks(subject, subject.inputs(shape, regime, dtype, seed), subject.state(1, shape, seed + 1), dtype)

    def sense(drawn: tuple[Tensors, Tensors]) -> float:
        inputs, state = drawn
        return sensitivity(subject, subject.members(inputs, len(cu_seqlens) - 1), state)

    drawn, _ = steady(draw, sense, regime)
    return Forced(*drawn, cu_seqlens)


def in_chunks(subject: MeasuredPackage, inputs: Tensors, state: Tensors, dtype: torch.dtype) -> tuple[Tensors, Tensors]:
    """The inputs, with values that leave the sign of no residual in doubt, and the state at the start of every chunk."""
    starts: dict[str, list[Tensor]] = {name: [] for name in state}
    values: list[Tensor] = []
    current = state
    with torch.no_grad():
        for first in range(0, inputs["q"].shape[1], subject.tile):
            for name in state:
                starts[name].append(current[name])
            piece = subject.tokens(inputs, first, first + subject.tile)
            start = {name: current[name] for name in state}
            with Signs() as signs:
                _, current = subject.reference(**piece, initial_state=start, output_final_state=True)
            with Signs() as moved:
                if signs.found:
                    subject.reference(**{**piece, "v": piece["v"] + 1}, initial_state=start)
            residuals = [x for x, other in zip(signs.found, moved.found, strict=True) if is_residual(x, other)]
            if residuals:  # one and the same, however often its sign is taken
                piece["v"] = apart(piece["v"], residuals[0].transpose(1, 2), dtype)
                _, current = subject.reference(**piece, initial_state=start, output_final_state=True)
            values.append(piece["v"])
    joined = {name: torch.cat(parts) for name, parts in starts.items()}
    return {**inputs, "v": torch.cat(values, 1)}, {name: x.double() if x.is_floating_point() else x for name, x in single(joined).items()}


def is_residual(x: Tensor, moved: Tensor) -> bool:
    """True if it loses 1 everywhere where all values gain 1. The state does not, whose sign some mirror maps take."""
    return torch.allclose(x - moved, torch.ones_like(x), rtol=0, atol=1e-6)


def apart(v: Tensor, residual: Tensor, dtype: torch.dtype) -> Tensor:
    """Values further from their predictions, where the residual is so near to 0 that rounding could turn its sign.

    Done only where predictions do not depend on them: where all surprises of a chunk are taken at the state that enters it.
    """
    missing = (MARGINS[dtype] - residual.abs()).clamp(min=0)
    return (v - torch.where(residual < 0, -missing, missing)).to(dtype).double()
