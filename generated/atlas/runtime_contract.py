"""Arguments of operators: which tensors a package takes, and every check before anything is computed.

An error is a ValueError that names the argument, the expectation, and the value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from .runtime_borders import check_offsets, read_borders
from .runtime_plan import Piece, Plan
from .runtime_state import State, read_state
from .runtime_tensor import check_precision, check_range, check_tensor, wide_type
from .runtime_values import numbers

AT_LEAST_ONE = (("q", "B", "sequence"), ("q", "H", "head"), ("q", "K", "channel"), ("v", "V", "channel"))
Tokens = dict[str, Tensor]
Named = Mapping[str, Tensor]


class Extra(Protocol):
    """A part of a contract that only some packages have."""

    def check(self, lengths: dict[str, int]) -> None:
        """Raises ValueError for lengths that do not fit; adds those of axes that no argument has."""

    def prepare(self, tokens: Tokens, parameters: Mapping[str, Tensor], axes: Mapping[str, str]) -> Tokens:
        """The tokens as the forms read them."""


class Writes(Extra, Protocol):
    """Several writes per token: see runtime_steps."""

    @property
    def number(self) -> int: ...
    def outputs(self, x: Tensor) -> Tensor: ...
    def after(self, x: Tensor) -> Tensor: ...


class Rows(Extra, Protocol):
    """A window of several tokens: see runtime_window."""

    @property
    def size(self) -> int: ...
    def lines(self, call: Call, plan: Plan) -> dict[str, Tensor]: ...
    def step_values(self, call: Call, lines: Mapping[str, Tensor], piece: Piece) -> dict[str, Tensor]: ...
    def tile_values(self, call: Call, lines: Mapping[str, Tensor], piece: Piece, takes: Collection[str]) -> dict[str, Tensor]: ...
    def outputs(self, x: Tensor, axis: int) -> Tensor: ...
    def final(self, call: Call, lines: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]: ...
    def walk_rows(self, tokens: Named, parameters: Named, state: Named, cu_seqlens: Tensor | None) -> dict[str, Tensor]: ...
    def past_lines(self, tokens: Named, state: Named, cu_seqlens: Tensor | None) -> dict[str, Tensor]: ...
    def tile_rows(
        self,
        tokens: Named,
        parameters: Named,
        state: Named,
        lines: Named,
        tile: int,
        cu_seqlens: Tensor | None,
        grid: str,
    ) -> dict[str, Tensor]: ...
    def tokens_by_row(self, tokens: Named, walked: Named, cu_seqlens: Tensor | None) -> dict[str, Tensor]: ...
    def walk_final(self, tokens: Named, walked: Named, state: Named, cu_seqlens: Tensor | None) -> dict[str, Tensor]: ...


Returned = tuple[Tensor, State | None]
Computed = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor] | None, bool, Tensor | None], Returned]


class Segments(Protocol):
    """Sequences that are computed in segments, each from a state of its own: see runtime_reset."""

    @property
    def length(self) -> int: ...
    def inside(self, contract: OperatorContract) -> OperatorContract: ...
    def call(
        self,
        contract: OperatorContract,
        compute: Computed,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
    ) -> Returned: ...


@dataclass(frozen=True)
class OperatorContract:
    """The arguments and the state of the operators of one package. Axes are letters: B batch, T tokens, H heads, K and V widths."""

    name: str  # that of the package, and the digest of its spec
    tokens: Mapping[str, str]  # axes by argument
    state: Mapping[str, str]  # axes by entry
    weights: tuple[str, ...]  # the entries that a state must have
    parameters: Mapping[str, str] = field(default_factory=dict)  # axes by argument
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # least and largest value of a gate
    chunk: int = 1  # tokens whose surprises are taken at one state; 1: results do not depend on where a chunk begins
    one_width: bool = False  # values are as wide as keys
    start: Mapping[str, tuple[float, str]] = field(default_factory=dict)  # of weights ≥ 0: their sum, over these axes; absent: uniform
    needs_state: str = ""  # why a state must be given
    polynomial: Extra | None = None
    writes: Writes | None = None
    window: Rows | None = None
    own_weight: Extra | None = None  # a window of the token alone
    segments: Segments | None = None

    @property
    def extras(self) -> tuple[Extra, ...]:
        """In the order in which they prepare tokens."""
        return tuple(extra for extra in (self.polynomial, self.writes, self.window, self.own_weight) if extra is not None)

    def prepared(self, tokens: Named, parameters: Named) -> dict[str, Tensor]:
        """The tokens as the rule reads them: features, the rows of writes and of windows."""
        found = dict(tokens)
        for extra in self.extras:
            found = extra.prepare(found, parameters, self.tokens)
        return found

    @property
    def period(self) -> int:
        """The number of tokens after which positions begin again."""
        return self.chunk if self.segments is None else self.segments.length

    @property
    def inside(self) -> OperatorContract:
        """The contract of one segment; where there are none, this one."""
        return self if self.segments is None else self.segments.inside(self)

    @property
    def carried(self) -> tuple[str, ...]:
        """The entries of the state that go from token to token."""
        return tuple(name for name in self.state if name != "position" and not name.startswith("window_"))


@dataclass(frozen=True)
class Call:
    """The arguments of one call, in the precision of the computation: float64 for float64 inputs, else float32.

    `borders` are those of packed sequences; None for a batch of sequences of equal length. `positions` says how many tokens of the
    chunk in progress each sequence has behind it; None where that cannot be read.
    """

    tokens: Tokens
    parameters: dict[str, Tensor]
    state: dict[str, Tensor]
    borders: list[int] | None
    positions: list[int] | None
    dtype: torch.dtype

    @property
    def size(self) -> tuple[int, int]:
        """Batch and length."""
        batch, length = self.tokens["q"].shape[:2]
        return batch, length

    def token(self, name: str) -> Tensor:
        """The tokens of a name in code, where a gate of the user's own ends in underscores."""
        return self.tokens[name.rstrip("_")]

    def sequences(self) -> Iterator[Call]:
        """The packed sequences one by one, or the batch as it is."""
        if self.borders is None:
            yield self
            return
        for number, (first, end) in enumerate(pairwise(self.borders)):
            tokens = {name: x[:, first:end] for name, x in self.tokens.items()}
            state = {name: x[number : number + 1] for name, x in self.state.items()}
            positions = None if self.positions is None else self.positions[number : number + 1]
            yield replace(self, tokens=tokens, state=state, positions=positions, borders=None)


def read_call(
    contract: OperatorContract,
    tokens: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    initial_state: Mapping[str, Tensor] | None,
    cu_seqlens: Tensor | None,
) -> Call:
    """The checked arguments of a PyTorch form. Raises ValueError."""
    lengths, q = read_lengths(contract, tokens, parameters, cu_seqlens), tokens["q"]
    work = wide_type(q.dtype)
    state = read_state(contract, initial_state, lengths, q.device, work)
    rows = contract.writes.number if contract.writes else 1
    borders = None if cu_seqlens is None else [rows * border for border in read_borders(cu_seqlens, lengths["T"])]
    begun = isinstance(initial_state, Mapping) and "position" in initial_state
    positions = numbers(state["position"]) if begun else [0] * lengths["sequences"]
    coefficients = {name: x.to(work) for name, x in parameters.items()}
    prepared = {name: x.to(work) for name, x in contract.prepared(tokens, coefficients).items()}
    return Call(prepared, coefficients, state, borders, positions, q.dtype)


def read_lengths(
    contract: OperatorContract, tokens: Mapping[str, Tensor], parameters: Mapping[str, Tensor], cu_seqlens: Tensor | None
) -> dict[str, int]:
    """The length of every axis, and the number of `sequences`. Raises ValueError."""
    lengths: dict[str, int] = {}
    q = tokens["q"]
    device = q.device if isinstance(q, Tensor) else torch.device("cpu")
    for group, axes in ((tokens, contract.tokens), (parameters, contract.parameters)):
        for name, x in group.items():
            check_tensor(name, x, axes[name], lengths, device)
            check_precision(name, x, q.dtype)
    for name, axis, counted in AT_LEAST_ONE:
        if lengths[axis] == 0:
            raise ValueError(f"{name}: expected at least one {counted}, got {axis} = 0")
    if contract.one_width and lengths["K"] != lengths["V"]:
        raise ValueError(f"v: expected values as wide as keys, V = K = {lengths['K']}, got V = {lengths['V']}")
    for extra in contract.extras:
        extra.check(lengths)
    for name, x in tokens.items():
        check_range(name, x, contract.ranges)
    if cu_seqlens is not None:
        check_offsets(cu_seqlens, lengths, device)
    return {**lengths, "sequences": lengths["B"] if cu_seqlens is None else cu_seqlens.shape[0] - 1}
