"""Sequences of equal length at one place of their chunks: a tile is a slice of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .runtime_chunk import Condition
from .runtime_plan import cut
from .runtime_state import State


@dataclass(frozen=True)
class Slice:
    """Tokens `first` … `end` − 1 of every sequence."""

    first: int
    end: int
    begins: Condition = False
    fills: Condition = False
    goes_on: bool = True

    @property
    def members(self) -> slice:
        return slice(None)

    def take(self, x: Tensor) -> Tensor:
        return x[:, self.first : self.end].transpose(1, 2)

    def rows(self, line: Tensor, before: int) -> Tensor:
        return line[:, self.first : self.end + before].transpose(1, 2)

    def present(self, known: Tensor, before: int) -> Tensor:
        return torch.arange(self.first, self.end + before, device=known.device) >= before - known[:, None]

    def valid(self, like: Tensor) -> Tensor:
        return like.new_ones((1, 1, self.end - self.first)).expand(like.shape[0], -1, -1)


@dataclass(frozen=True)
class Even:
    """`length` tokens of each of the sequences, `position` tokens into a chunk."""

    length: int
    position: int = 0
    chunk: int = 1
    tile: int = 1

    def steps(self) -> Iterator[Sequence[Slice]]:
        first = 0
        for end in cut(self.position, self.length, self.chunk, self.tile):
            begins, fills = ((self.position + at) % self.chunk == 0 for at in (first, end))
            yield [Slice(first, end, begins, fills, goes_on=end < self.length)]
            first = end

    def enter(self, state: State) -> tuple[State, State]:
        return (state, {}) if self.length else ({}, state)

    def leave(self, parts: Sequence[State]) -> State:
        return next(part for part in parts if part)

    def collect(self, outputs: Sequence[Tensor], like: Tensor) -> Tensor:
        return torch.cat([like.transpose(1, 2)[:, :, :0], *outputs], 2).transpose(1, 2)

    def ends_chunk(self) -> Condition:
        return self.length > 0 and (self.position + self.length) % self.chunk == 0

    def line(self, x: Tensor, past: Tensor) -> Tensor:
        return torch.cat((past.transpose(1, 2), x), 1)

    def last(self, line: Tensor, before: int) -> Tensor:
        return line[:, self.length :].transpose(1, 2)

    def behind(self, count: Tensor) -> Tensor:
        return count + self.length
