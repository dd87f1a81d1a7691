"""The tokens of sequences behind those of their windows, as kernels read them: without a look at where sequences begin."""

from __future__ import annotations

import torch
from torch import Tensor

from .runtime_borders import sequence_numbers
from .runtime_slots import Slots


def with_past(x: Tensor, window: Tensor, cu_seqlens: Tensor | None) -> Tensor:
    """The tokens of every sequence behind those of its window: [B, T, H, ...] and [N, H, L, ...] to [B · T + N · L, H, ...]."""
    past = window.transpose(1, 2)
    if cu_seqlens is None:
        return torch.cat((past, x.to(past.dtype)), 1).flatten(0, 1)
    return torch.cat((x.flatten(0, 1).to(past.dtype), past.flatten(0, 1)))[places(x.shape[1], past.shape[1], cu_seqlens)]


def places(tokens: int, past: int, cu_seqlens: Tensor) -> Tensor:
    """The place of every row of packed sequences with their windows in front, among the tokens and the rows of windows behind them."""
    members = cu_seqlens.shape[0] - 1
    borders = cu_seqlens + past * torch.arange(members + 1, device=cu_seqlens.device)
    row = torch.arange(tokens + past * members, device=cu_seqlens.device)
    n = sequence_numbers(borders, row.shape[0])
    offset = row - borders[n]
    return torch.where(offset < past, tokens + n * past + offset, cu_seqlens[n] + offset - past)


def windows_of(rows: Tensor, gamma: Tensor, dtype: torch.dtype, cu_seqlens: Tensor | None) -> Tensor:
    """The rows of the window of every token, oldest first [B, T · W, H, ...], from `with_past`; gamma is [B, T, H, W]."""
    (batch, tokens, _, window), past = gamma.shape, gamma.shape[3] - 1
    if cu_seqlens is None:
        rows = rows.reshape(batch, tokens + past, *rows.shape[1:])
        return torch.stack([rows[:, first : first + tokens].to(dtype) for first in range(window)], 2).flatten(1, 2)
    token = torch.arange(tokens, device=rows.device)
    first = token + past * sequence_numbers(cu_seqlens, tokens)
    return rows[first[:, None] + torch.arange(window, device=rows.device)].to(dtype).flatten(0, 1)[None]


def before_tiles(gamma: Tensor, tile: int, position: Tensor | None, cu_seqlens: Tensor | None, grid: str) -> Tensor:
    """[slots, L]: the rows of `with_past` before the first token that every tile of a grid has; see runtime_device_tiles for the grids.

    gamma is [B, T, H, L + 1], and `position` [N] the number of tokens that a sequence is into its tile. Slots without tokens have rows of
    some token.
    """
    (batch, tokens), past = gamma.shape[:2], gamma.shape[3] - 1
    slots = Slots(batch, tokens, tile, cu_seqlens, gamma.device)
    if grid == "resumed":
        n = torch.arange(len(slots.lengths), device=gamma.device)
        begin = torch.zeros_like(n)
    else:
        n = slots.sequence
        begin = slots.before if position is None else slots.before + torch.where(position > 0, tile - position, 0)[n]
    row = slots.firsts[n] + past * n + torch.minimum(begin, slots.lengths[n])
    return row[:, None] + torch.arange(past, device=gamma.device)


def last_rows(rows: Tensor, past: int, tokens: int, cu_seqlens: Tensor | None) -> Tensor:
    """[N, H, L, ...]: the last tokens of every sequence, from `with_past` of rows of so many tokens."""
    if cu_seqlens is None:
        return rows.reshape(-1, tokens + past, *rows.shape[1:])[:, tokens:].transpose(1, 2)
    members = cu_seqlens.shape[0] - 1
    ends = cu_seqlens[1:] + past * torch.arange(members, device=cu_seqlens.device)
    return rows[ends[:, None] + torch.arange(past, device=cu_seqlens.device)].transpose(1, 2)


def walk_weights(gamma: Tensor, length: Tensor, cu_seqlens: Tensor | None) -> Tensor:
    """gamma [B, T, H, W] by the rows of each token's window, oldest first, 0 for those that are not there; `length` [N] of the past."""
    window, place = gamma.shape[3], torch.arange(gamma.shape[1], device=gamma.device)
    known = length[:, None]
    if cu_seqlens is not None:
        n = sequence_numbers(cu_seqlens, place.shape[0])
        place, known = place - cu_seqlens[n], length[n][None]
    there = place[..., None] + torch.arange(window, device=gamma.device) >= (window - 1 - known)[..., None]
    return torch.where(there[:, :, None], gamma.flip(-1), 0.0)
