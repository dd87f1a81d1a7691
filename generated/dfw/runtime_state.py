"""The state of a memory: checked, completed, and in the precision of the computation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from .runtime_tensor import check_range, check_tensor, wide_type
from .runtime_values import holds, may_look

State = dict[str, Tensor]  # by the names of its entries
INTEGERS = ("position", "window_length")
ROUNDING = 0.01  # of a sum of weights, as a state of 16 bits has it


class States(Protocol):
    """The part of a contract that is about the state."""

    @property
    def state(self) -> Mapping[str, str]: ...
    @property
    def weights(self) -> tuple[str, ...]: ...
    @property
    def start(self) -> Mapping[str, tuple[float, str]]: ...
    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]: ...
    @property
    def needs_state(self) -> str: ...
    @property
    def period(self) -> int: ...


def read_state(
    contract: States, given: Mapping[str, Tensor] | Tensor | None, lengths: Mapping[str, int], device: torch.device, work: torch.dtype
) -> dict[str, Tensor]:
    """Every entry of the state, for `lengths["sequences"]` sequences; absent ones mean no momentum, a fresh chunk, an empty window.

    A memory of one weight takes that tensor alone, too. Raises ValueError.
    """
    known = {**lengths, "B": lengths["sequences"]}
    entries = named(contract, given, known, device, work)
    check_entries(contract, entries, known, device, work)
    state = {name: x if name in INTEGERS else x.to(work) for name, x in entries.items()}
    for name, axes in contract.state.items():
        if name.endswith("_start"):
            state.setdefault(name, state[name.removesuffix("_start")])
        elif name not in state:
            shape = [known[axis] for axis in axes]
            state[name] = torch.zeros(shape, dtype=torch.int64 if name in INTEGERS else work, device=device)
    return state


def check_entries(
    contract: States, entries: Mapping[str, Tensor], lengths: dict[str, int], device: torch.device, work: torch.dtype
) -> None:
    """The entries of a state have their shapes and types, and where they may be looked at their values. Raises ValueError."""
    for name, x in entries.items():
        check_tensor(f"initial_state.{name}", x, contract.state[name], lengths, device, whole=name in INTEGERS)
        if x.dtype == torch.float64 != work:
            raise ValueError(f"initial_state.{name}: expected float32 beside tokens of 32 bits or fewer, got {x.dtype}")
    check_count("position", "positions", entries, contract.period - 1)
    check_count("window_length", "lengths", entries, lengths.get("L", 0))
    for name, x in entries.items():
        check_gate(contract, name, x)
        check_slices(name, x, contract.state[name], contract.start.get(name.removesuffix("_start")))


def named(
    contract: States, given: Mapping[str, Tensor] | Tensor | None, lengths: Mapping[str, int], device: torch.device, work: torch.dtype
) -> dict[str, Tensor]:
    """The entries that are given, the weights among them."""
    entries = as_entries(contract, given)
    check_names(contract, entries)
    return {name: starting_weight(contract, name, lengths, device, work) for name in contract.weights} if entries is None else entries


def check_names(contract: States, entries: Mapping[str, Tensor] | None) -> None:
    """A state has the weights, and no entry that the memory does not know; None stands for a start that is known. Raises ValueError."""
    if entries is None:
        if contract.needs_state:
            asked = ", ".join(contract.weights)
            raise ValueError(f"initial_state: expected a dict with {asked}, got None; {contract.needs_state}")
        return
    if unknown := sorted(str(name) for name in entries if name not in contract.state):
        raise ValueError(f"initial_state: expected entries among {', '.join(contract.state)}, got {', '.join(unknown)}")
    if empty := [name for name, x in entries.items() if x is None]:
        raise ValueError(f"initial_state.{empty[0]}: expected a tensor, got None")
    if missing := [name for name in contract.weights if name not in entries]:
        raise ValueError(f"initial_state: expected {', '.join(contract.weights)}, got none for {', '.join(missing)}")


def as_entries(contract: States, given: Mapping[str, Tensor] | Tensor | None) -> dict[str, Tensor] | None:
    """A state by the names of its entries; a tensor alone is the weight of a memory that has one."""
    if given is None:
        return None
    if isinstance(given, Tensor) and len(contract.weights) == 1:
        given = {contract.weights[0]: given}
    if not isinstance(given, Mapping):
        raise ValueError(f"initial_state: expected a dict with {', '.join(contract.weights)}, got {type(given).__name__}")
    return dict(given)


def starting_weight(contract: States, name: str, lengths: Mapping[str, int], device: torch.device, work: torch.dtype) -> Tensor:
    """0, or the uniform point of its slices."""
    shape = [lengths[axis] for axis in contract.state[name]]
    total, axes = contract.start.get(name, (0.0, ""))
    return torch.full(shape, total / math.prod([lengths[axis] for axis in axes]), dtype=work, device=device)


def check_count(name: str, words: str, entries: Mapping[str, Tensor], most: int) -> None:
    """Numbers of tokens are at most `most`, where they may be looked at. Raises ValueError, which calls them `words`."""
    x = entries.get(name)
    if x is not None and may_look(x) and holds(((x < 0) | (x > most)).any()):
        raise ValueError(f"initial_state.{name}: expected {words} from 0 to {most}, got {x.tolist()}")


def check_gate(contract: States, name: str, x: Tensor) -> None:
    """Decays, sums of squares, and the gates of tokens in a window have the ranges of gates. Raises ValueError."""
    if name.startswith(("log_", "window_", "preconditioner")):
        gate, ranges = name.removeprefix("window_"), {**contract.ranges, "preconditioner": (0.0, math.inf)}
        check_range(gate, x, ranges, f"initial_state.{name.removesuffix(gate)}")


def check_slices(name: str, x: Tensor, axes: str, slices: tuple[float, str] | None) -> None:
    """A weight whose slices have a sum has no negative entry and these sums, where they may be looked at. Raises ValueError."""
    if slices is None or not may_look(x):
        return
    total, over = slices
    if holds((x < 0).any()):
        raise ValueError(f"initial_state.{name}: expected weights of at least 0, got {float(x.min()):.3g}")
    sums = x.to(wide_type(x.dtype)).sum([axes.index(axis) for axis in over])
    if holds(((sums - total).abs() > ROUNDING * total).any()):
        least, most = float(sums.min()), float(sums.max())
        raise ValueError(
            f"initial_state.{name}: expected weights that sum to {total:g} over [{', '.join(over)}], got {least:.3g} to {most:.3g}"
        )
