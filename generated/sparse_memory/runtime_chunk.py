"""The grid of chunks: the changes of a state where a chunk begins and where it is full.

A condition is True or False where it is the same for all sequences, or a tensor over them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .runtime_state import State

Condition = bool | Tensor
Finish = Callable[..., Sequence[Tensor]]

LEAST = -60.0  # logarithms of decays below it are read as this one, which forgets all


def chosen(condition: Condition, x: Tensor, other: Tensor | float) -> Tensor:
    """x where the condition of a sequence [N] holds, else the other; x is [N, ...]."""
    if isinstance(condition, bool):
        return x if condition else other if isinstance(other, Tensor) else torch.full_like(x, other)
    return torch.where(condition.reshape(-1, *[1] * (x.dim() - 1)), x, other)


def begun(state: Mapping[str, Tensor], condition: Condition) -> State:
    """The state, where a chunk begins: its surprises are taken at the weights as they are now."""
    starts = {name: chosen(condition, state[name.removesuffix("_start")], x) for name, x in state.items() if name.endswith("_start")}
    if "log_beta" in state:
        starts["log_beta"] = chosen(condition, torch.zeros_like(state["log_beta"]), state["log_beta"])
    return {**state, **starts}


def finished(state: Mapping[str, Tensor], condition: Condition, weights: Sequence[str], finish: Finish) -> State:
    """The state, where a chunk is full: `finish` takes each weight, the step that waits for it, and the weight that began the chunk."""
    if condition is False:
        return dict(state)
    names = [f"{weight}{suffix}" for weight in weights for suffix in ("", "_momentum")]
    results = finish(*(state[f"{weight}{suffix}"] for weight in weights for suffix in ("", "_pending", "_start")))
    new = {name: chosen(condition, x, state[name]) for name, x in zip(names, results, strict=True)}
    waiting = {name: chosen(condition, torch.zeros_like(state[name]), state[name]) for name in (f"{weight}_pending" for weight in weights)}
    return {**state, **new, **waiting}
