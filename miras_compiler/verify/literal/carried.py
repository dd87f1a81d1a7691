"""The values that the token loop carries from one token to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from miras_compiler.verify.literal.window import LiteralWindow

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class CarriedValues:
    """The carried values. `log_beta` is laid out as alpha acts on a weight."""

    dual: Weights
    momentum: Weights
    start: Weights
    pending: Weights
    position: Tensor
    log_beta: Tensor
    preconditioner: Tensor
    window: LiteralWindow | None


def start_chunk(held: CarriedValues) -> CarriedValues:
    """Begins a chunk (position 0; with C = 1 every token): the dual state enters it, and the decay since then is 1."""
    fresh = held.position == 0
    if not fresh.any():
        return held
    if fresh.all():
        return replace(held, start=held.dual, log_beta=torch.zeros_like(held.log_beta))
    start = {name: torch.where(wide(fresh, weight.dim()), weight, held.start[name]) for name, weight in held.dual.items()}
    log_beta = torch.where(wide(fresh, held.log_beta.dim()), torch.zeros_like(held.log_beta), held.log_beta)
    return replace(held, start=start, log_beta=log_beta)


def wide(x: Tensor, dimensions: int) -> Tensor:
    """x with axes of length 1 behind its own."""
    return x.reshape(*x.shape, *[1] * (dimensions - x.dim()))


def size(weights: Weights) -> Tensor:
    """‖·‖ over all weights of a head, [B,H]."""
    return torch.stack([w.flatten(2).square().sum(-1) for w in weights.values()]).sum(0).sqrt()
