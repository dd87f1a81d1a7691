"""Plans: which tokens a form computes at once. The tiles of a sequence end where its chunks do.

`runtime_even` cuts sequences that are alike, `runtime_uneven` all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor

from .runtime_chunk import Condition
from .runtime_state import State


class Piece(Protocol):
    """A tile of some sequences: C tokens of each, or fewer where one has no more."""

    @property
    def members(self) -> slice:
        """The sequences that have tokens left, in the order of the plan."""

    @property
    def goes_on(self) -> bool:
        """True if these sequences have tokens behind the tile."""

    @property
    def begins(self) -> Condition:
        """A mask of the sequences in which a chunk begins with the tile."""

    @property
    def fills(self) -> Condition:
        """A mask of the sequences whose chunk is full behind the tile."""

    def take(self, x: Tensor) -> Tensor:
        """[B, T, H, ...] to [N, H, C, ...], 0 where there is no token."""

    def rows(self, line: Tensor, before: int) -> Tensor:
        """[N, H, before + C, ...]: the tokens behind those before them, from a line of the plan."""

    def present(self, known: Tensor, before: int) -> Tensor:
        """[N, before + C]: where those are tokens; of those before a sequence, as many as `known` says."""

    def valid(self, like: Tensor) -> Tensor:
        """[N, 1, C]: 1 at a token, else 0."""


class Plan(Protocol):
    """The tiles of all sequences of a call."""

    def steps(self) -> Iterable[Sequence[Piece]]:
        """The tiles, those of different sequences that are computed one after another in one step."""

    def enter(self, state: State) -> tuple[State, State]:
        """The state in the order of the plan: of sequences with tokens, and of those without."""

    def leave(self, parts: Sequence[State]) -> State:
        """The parts of the state, in the order of the plan, as one in the order of the call."""

    def collect(self, outputs: Sequence[Tensor], like: Tensor) -> Tensor:
        """[N, H, C, V] of every tile to [B, T, H, V]; 0 at tokens of no sequence."""

    def ends_chunk(self) -> Condition:
        """A mask of the sequences with tokens that end with their chunk."""

    def line(self, x: Tensor, past: Tensor) -> Tensor:
        """Tokens [B, T, H, ...] behind those before each sequence [N, H, L, ...], as `Piece.rows` reads them."""

    def last(self, line: Tensor, before: int) -> Tensor:
        """[N, H, before, ...]: the last tokens of every sequence."""

    def behind(self, count: Tensor) -> Tensor:
        """Numbers of tokens [N], and those of the call added to them."""


def cut(position: int, length: int, chunk: int, tile: int) -> list[int]:
    """The ends of the tiles of a sequence that begins `position` tokens into a chunk; a chunk of 1 cuts nothing."""
    ends, first = [], 0
    while first < length:
        inside = (position + first) % chunk if chunk > 1 else 0
        room = min(tile - inside % tile, chunk - inside) if chunk > 1 else tile
        first = min(first + room, length)
        ends.append(first)
    return ends
