"""The sequences of a forward pass, found once and passed down: a batch of equal lengths, or sequences packed into one row."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .runtime_borders import check_offsets, read_borders, sequence_numbers
from .runtime_padding import Packing, packing


class Sequences(NamedTuple):
    """N sequences, each of at most `longest` tokens, in a batch [N, longest, D], or packed into one row [1, R, D].

    A batch side by side, as attention needs it, has every sequence at the left; behind its end stands any token.
    """

    rows: int
    longest: int
    cu_seqlens: Tensor | None = None  # int32 [N + 1], the borders in the row; None is a batch
    fresh: bool = True  # all begin here: there is no cache
    prefix: int = 0  # the first so many tokens of every sequence are persistent ones: blocks put their own there
    row: Tensor | None = None  # [N · longest]: where a token of the batch stands in the row
    side: Tensor | None = None  # [R]: where a token of the row stands in the batch
    lengths: Tensor | None = None  # int64 [N]

    def batch(self, x: Tensor) -> Tensor:
        """x [1, R, ...] as [N, longest, ...]."""
        return x if self.row is None else x[0].index_select(0, self.row).reshape(self.rows, self.longest, *x.shape[2:])

    def unbatch(self, x: Tensor) -> Tensor:
        """x [N, longest, ...] as [1, R, ...]."""
        return x if self.side is None else x.flatten(0, 1).index_select(0, self.side)[None]

    def with_prefix(self, x: Tensor, persistent: Tensor) -> Tensor:
        """x with `persistent` [prefix, D] in the places of persistent tokens."""
        if not self.prefix:
            return x
        place = torch.arange(self.longest, device=x.device) if self.side is None else self.side % self.longest
        own = persistent.to(x.dtype)[place.clamp(max=self.prefix - 1)]
        return torch.where((place < self.prefix)[:, None], own, x)


class Inside:
    """The tokens of a forward pass as the blocks have them, `x`: without padding, with room for persistent tokens."""

    def __init__(self, x: Tensor, attention_mask: Tensor | None, cu_seqlens: Tensor | None, prefix: int) -> None:
        self.prefix, self.size, self.cu_seqlens = prefix, x.shape, cu_seqlens
        self.padded = None if attention_mask is None else packing(attention_mask, x)
        self.places: Tensor | None = None  # of the tokens in the row, where there is room between them
        if cu_seqlens is not None:
            check_offsets(cu_seqlens, {"B": x.shape[0], "T": x.shape[1]}, x.device)
            if self.padded is not None:
                raise ValueError("attention_mask: expected no padding in sequences that cu_seqlens packs")
            if prefix:
                self.places, self.cu_seqlens = make_room(cu_seqlens, x.shape[1], prefix)
                x = x.new_zeros(1, x.shape[1] + prefix * (cu_seqlens.shape[0] - 1), x.shape[2]).index_copy(1, self.places, x)
        else:
            x = functional.pad(x, (0, 0, prefix, 0))
            if self.padded is None and exact_rows(x) and not torch.compiler.is_compiling():
                self.padded = whole(x)
            elif self.padded is not None and prefix:
                self.padded = packing(functional.pad(self.padded.keep, (prefix, 0), value=True), x)
            if self.padded is not None:
                x, self.cu_seqlens = self.padded.pack(x), self.padded.cu_seqlens
        self.x = x if self.cu_seqlens is None else functional.pad(x, (0, 0, 0, exact_rows(x)))

    def sequences(self, *, fresh: bool, side_by_side: bool) -> Sequences:
        """Facts about the sequences of a batch, for the blocks."""
        if self.cu_seqlens is None:
            return Sequences(self.size[0], self.size[1] + self.prefix, None, fresh, self.prefix)
        longest = self.x.shape[1] if self.padded is None else self.size[1] + self.prefix
        if side_by_side and self.padded is None and not torch.compiler.is_compiling():  # a batch as wide as the row would be large
            longest = max(1, *(end - start for start, end in pairwise(read_borders(self.cu_seqlens, longest))))
        if fresh and exact_rows(self.x):
            longest = -(-longest // 8) * 8  # as rows are; and a token alone goes through the operator of many
        return packed(self.cu_seqlens, longest, self.x.shape[1], fresh=fresh, prefix=self.prefix, side_by_side=side_by_side)

    def outside(self, x: Tensor) -> Tensor:
        """Hidden states [B, T, D] of the tokens that were given; 0 at padding."""
        if self.places is not None:
            return x.index_select(1, self.places)
        if self.padded is not None:
            return self.padded.unpack(x)[:, self.prefix :]
        return x[:, self.prefix : self.prefix + self.size[1]]


def whole(x: Tensor) -> Packing:
    """The packing of a batch x [B, T, D] without padding."""
    batch, length = x.shape[:2]
    place = torch.arange(batch * length, device=x.device)
    return Packing(place.new_ones(batch, length).bool(), place, (length * torch.arange(batch + 1, device=x.device)).to(torch.int32))


def exact_rows(x: Tensor) -> int:
    """Rows to add to those of x [..., D] in float64 on the CPU, where a row has the same bits whatever rows are beside it.

    Matrix products of fewer than 4 rows, and functions of the last numbers of a tensor, are computed by other code there, which rounds
    otherwise: rows are computed eight at a time, always in one line.
    """
    if x.dtype != torch.float64 or x.device.type != "cpu":
        return 0
    return 8 - x.shape[:-1].numel() % 8


def packed(cu_seqlens: Tensor, longest: int, tokens: int, *, fresh: bool, prefix: int, side_by_side: bool) -> Sequences:
    """The sequences between borders in a row of so many tokens; `side_by_side`: whether they are wanted as a batch, too."""
    count = cu_seqlens.shape[0] - 1
    if not side_by_side:
        return Sequences(count, longest, cu_seqlens, fresh, prefix)
    borders = cu_seqlens.to(torch.int64)
    token, number = torch.arange(tokens, device=cu_seqlens.device), sequence_numbers(borders, tokens)
    side = number * longest + (token - borders[number]).clamp(max=longest - 1)
    column = torch.arange(longest, device=cu_seqlens.device)
    row = (borders[:-1, None] + column).clamp(max=max(tokens - 1, 0)).flatten()
    return Sequences(count, longest, cu_seqlens, fresh, prefix, row, side, borders.diff())


def make_room(cu_seqlens: Tensor, tokens: int, prefix: int) -> tuple[Tensor, Tensor]:
    """Room for `prefix` tokens before every sequence of a row: where its tokens go [T], and the new borders."""
    borders = cu_seqlens.to(torch.int64)
    token, number = torch.arange(tokens, device=cu_seqlens.device), sequence_numbers(borders, tokens)
    moved = borders + prefix * torch.arange(borders.shape[0], device=cu_seqlens.device)
    return token + prefix * (number + 1), moved.to(cu_seqlens.dtype)


def shifted(keep: Tensor) -> Tensor:
    """The places where a token and the one before it are both there, for keep [B, T]."""
    return keep & functional.pad(keep, (1, 0))[:, :-1]
