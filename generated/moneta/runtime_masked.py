"""Sequences whose places in their chunks cannot be read, under torch.compile or vmap: a grid of chunks in which each is shifted by its own.

Column s begins a chunk where s is a multiple of the chunk; columns before a sequence and behind it hold zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .runtime_chunk import Condition
from .runtime_contract import Call
from .runtime_plan import cut
from .runtime_state import State
from .runtime_uneven import Gather, Gathered, scattered


class Masked(Gathered):
    """The tiles of a grid that is as wide as the longest sequence, and all but one token of a chunk."""

    def __init__(self, call: Call, chunk: int, tile: int) -> None:
        super().__init__(call)
        self.chunk, self.shift, longest = chunk, call.state["position"], max(self.lengths)
        self.at, self.length = self.tensor(self.borders[:-1]), self.tensor(self.lengths)
        columns = [0, *cut(0, longest + chunk - 1, chunk, tile)] if longest else [0]
        self.made = [self.piece(first, end, end == columns[-1]) for first, end in pairwise(columns)]

    def piece(self, column: int, end: int, is_last: bool) -> Gather:
        first, behind = column - self.shift, end - self.shift
        return Gather(
            first, torch.minimum(behind, self.length), self.at, self.tensor(range(len(self.at))), len(self.at), end - column,
            begins=(first >= 0) & (first < self.length) if column % self.chunk == 0 else False,
            fills=(behind > 0) & (behind <= self.length) if end % self.chunk == 0 else False,
            goes_on=not is_last, members=slice(None),
        )  # fmt: skip

    def steps(self) -> Sequence[Sequence[Gather]]:
        return [[piece] for piece in self.made]

    def enter(self, state: State) -> tuple[State, State]:
        return (state, {}) if self.made else ({}, state)

    def leave(self, parts: Sequence[State]) -> State:
        return next(part for part in parts if part)

    def collect(self, outputs: Sequence[Tensor], like: Tensor) -> Tensor:
        return scattered(self.made, outputs, like)

    def ends_chunk(self) -> Condition:
        return (self.length > 0) & ((self.shift + self.length) % self.chunk == 0)
