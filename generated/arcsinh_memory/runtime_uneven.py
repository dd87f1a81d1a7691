"""Sequences of different lengths, or at different places of their chunks: tiles are gathered from the rows of all tokens.

The sequences are sorted by their number of tiles. A step takes the next tile of each that has one: first of those that go on, then of
those that end, by their width rounded up to a power of two. So time and memory follow the tokens, not sequences × the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

from .runtime_chunk import Condition
from .runtime_contract import Call
from .runtime_plan import cut
from .runtime_state import State


@dataclass(frozen=True)
class Gather:
    """Tokens `first` [N] to `end` [N] of sequences, in `width` columns; one without a token holds 0.

    `number` [N] are the sequences, of so many as `of` says, and `at` [N] the rows of their first tokens among those of all.
    """

    first: Tensor
    end: Tensor
    at: Tensor
    number: Tensor
    of: int
    width: int
    begins: Condition
    fills: Condition
    goes_on: bool
    members: slice

    def take(self, x: Tensor) -> Tensor:
        return self.rows(x.flatten(0, 1), 0)

    def rows(self, line: Tensor, before: int) -> Tensor:
        column = self.columns(before)
        place = torch.where(column < 0, (self.number[:, None] + 1) * before, self.of * before + self.at[:, None]) + column
        here = (column >= -before) & (column < self.end[:, None])
        rows = line[torch.where(here, place, 0)]
        return torch.where(here.reshape(*here.shape, *[1] * (rows.dim() - 2)), rows, 0.0).transpose(1, 2)

    def present(self, known: Tensor, before: int) -> Tensor:
        column = self.columns(before)
        return (column >= -known[self.number][:, None]) & (column < self.end[:, None])

    def valid(self, like: Tensor) -> Tensor:
        return self.holds_token()[:, None].to(like.dtype)

    def columns(self, before: int) -> Tensor:
        """[N, before + C]: tokens, counted from the first of their sequence."""
        return self.first[:, None] - before + torch.arange(before + self.width, device=self.first.device)

    def holds_token(self) -> Tensor:
        """[N, C]."""
        column = self.columns(0)
        return (column >= 0) & (column < self.end[:, None])


class Gathered:
    """Sequences whose tiles are gathered from the rows of all tokens: their borders and lengths, and the rows before and behind them."""

    def __init__(self, call: Call) -> None:
        batch, length = call.size
        self.device = call.tokens["q"].device
        self.borders = call.borders or [length * row for row in range(batch + 1)]
        self.lengths = [end - first for first, end in pairwise(self.borders)]

    def tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)

    def line(self, x: Tensor, past: Tensor) -> Tensor:
        return torch.cat((past.transpose(1, 2).flatten(0, 1), x.flatten(0, 1)))

    def last(self, line: Tensor, before: int) -> Tensor:
        number, end, at = (self.tensor(values) for values in (range(len(self.lengths)), self.lengths, self.borders[:-1]))
        return Gather(end, end, at, number, len(self.lengths), 0, False, False, False, slice(None)).rows(line, before)

    def behind(self, count: Tensor) -> Tensor:
        return count + self.tensor(self.lengths)


class Uneven(Gathered):
    """The tiles of sequences whose lengths and positions are known."""

    def __init__(self, call: Call, chunk: int, tile: int) -> None:
        super().__init__(call)
        self.positions, self.chunk = call.positions or [0] * len(self.lengths), chunk
        ends = [cut(position, length, chunk, tile) for position, length in zip(self.positions, self.lengths, strict=True)]
        self.order = sorted(range(len(ends)), key=lambda n: (-len(ends[n]), -rounded(last_width(ends[n]))))
        self.ends = [ends[n] for n in self.order]
        self.made = [self.step(number) for number in range(len(self.ends[0]))]

    def step(self, number: int) -> list[Gather]:
        """The pieces of one step."""
        active = [n for n, ends in enumerate(self.ends) if len(ends) > number]
        groups = groupby(active, key=lambda n: 0 if len(self.ends[n]) > number + 1 else rounded(last_width(self.ends[n])))
        return [self.piece(number, list(members), goes_on=width == 0) for width, members in groups]

    def piece(self, number: int, members: list[int], goes_on: bool) -> Gather:
        tiles = [([0, *self.ends[n]][number], self.ends[n][number]) for n in members]
        sequences = [self.order[n] for n in members]
        begins, fills = (
            [(self.positions[n] + tile[side]) % self.chunk == 0 for n, tile in zip(sequences, tiles, strict=True)] for side in (0, 1)
        )
        return Gather(
            first=self.tensor([first for first, _ in tiles]), end=self.tensor([end for _, end in tiles]),
            at=self.tensor([self.borders[n] for n in sequences]), number=self.tensor(sequences), of=len(self.order),
            width=max(end - first for first, end in tiles), begins=self.condition(begins), fills=self.condition(fills),
            goes_on=goes_on, members=slice(members[0], members[-1] + 1),
        )  # fmt: skip

    def condition(self, values: Sequence[bool]) -> Condition:
        return values[0] if len(set(values)) == 1 else torch.tensor(values, device=self.device)

    def steps(self) -> Sequence[Sequence[Gather]]:
        return self.made

    def enter(self, state: State) -> tuple[State, State]:
        order, active = self.tensor(self.order), sum(bool(ends) for ends in self.ends)
        ordered = {name: x[order] for name, x in state.items()}
        return {name: x[:active] for name, x in ordered.items()}, {name: x[active:] for name, x in ordered.items()}

    def leave(self, parts: Sequence[State]) -> State:
        back = self.tensor(sorted(range(len(self.order)), key=self.order.__getitem__))
        parts = [part for part in parts if part]
        return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}

    def collect(self, outputs: Sequence[Tensor], like: Tensor) -> Tensor:
        return scattered([piece for step in self.made for piece in step], outputs, like)

    def ends_chunk(self) -> Condition:
        ends = zip(self.positions, self.lengths, strict=True)
        return self.condition([length > 0 and (position + length) % self.chunk == 0 for position, length in ends])


def scattered(pieces: Sequence[Gather], outputs: Sequence[Tensor], like: Tensor) -> Tensor:
    """[N, H, C, V] of every piece to [B, T, H, V], 0 at tokens of none; `like` has that shape."""
    total = like.shape[0] * like.shape[1]
    places = [torch.where(piece.holds_token(), piece.at[:, None] + piece.columns(0), total).flatten() for piece in pieces]
    rows = [o.transpose(1, 2).flatten(0, 1) for o in outputs]
    found = torch.cat([*rows, like.new_zeros((1, *like.shape[2:]))])
    place = torch.cat([*places, torch.tensor([total], device=like.device)])
    where = torch.full_like(place[:1], len(found) - 1).expand(total + 1).scatter(0, place, torch.arange(len(found), device=like.device))
    return found[where[:total]].reshape(*like.shape[:2], *found.shape[1:])


def last_width(ends: Sequence[int]) -> int:
    """The tokens of the last tile; 0 where there is none."""
    return ends[-1] - [0, *ends][-2] if ends else 0


def rounded(width: int) -> int:
    """Up to a power of two."""
    return 1 << (width - 1).bit_length() if width else 0
