"""Borders of sequences that are packed into one row: `cu_seqlens`, int32 of shape [N+1]."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from .runtime_tensor import is_dense
from .runtime_values import is_empty, is_mapped, may_look, numbers


def check_offsets(cu_seqlens: object, lengths: Mapping[str, int], device: torch.device) -> None:
    """`cu_seqlens` are borders in B = 1 row of T tokens; their values are checked where they may be looked at. Raises ValueError."""
    if not isinstance(cu_seqlens, Tensor):
        raise ValueError(f"cu_seqlens: expected an int32 tensor of shape [N+1], got {type(cu_seqlens).__name__}")
    if not is_dense(cu_seqlens):
        raise ValueError(f"cu_seqlens: expected a dense tensor, got one of layout {cu_seqlens.layout}")
    if lengths["B"] != 1:
        raise ValueError(f"cu_seqlens: packed sequences lie in one row, expected B = 1, got {lengths['B']}")
    if cu_seqlens.dim() != 1 or cu_seqlens.dtype not in (torch.int32, torch.int64) or cu_seqlens.shape[0] < 2:
        raise ValueError(f"cu_seqlens: expected int32 of shape [N+1], got {cu_seqlens.dtype} of shape {list(cu_seqlens.shape)}")
    if cu_seqlens.device != device:
        raise ValueError(f"cu_seqlens: expected a tensor on {device}, as q is, got one on {cu_seqlens.device}")
    if may_look(cu_seqlens) and not is_mapped(cu_seqlens):
        read_borders(cu_seqlens, lengths["T"])


def read_borders(cu_seqlens: Tensor, length: int) -> list[int]:
    """The borders as numbers. They begin at 0 and never fall; tokens behind the last belong to no sequence. Raises ValueError."""
    borders = numbers(cu_seqlens)
    if borders is None:
        if not is_empty(cu_seqlens):
            raise ValueError("cu_seqlens: expected borders that can be read; vmap cannot map over borders")
        return [0] * (cu_seqlens.shape[0] - 1) + [length]  # all borders give the same shapes
    if borders[0] != 0 or borders[-1] > length or any(a > b for a, b in pairwise(borders)):
        raise ValueError(f"cu_seqlens: expected borders that rise from 0 to at most T = {length}, got {borders}")
    return borders


def sequence_numbers(cu_seqlens: Tensor, tokens: int) -> Tensor:
    """int64 [tokens]: the number of the sequence of each token in a row; those behind the last border count to the last sequence."""
    token = torch.arange(tokens, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens.to(torch.int64), token, right=True).clamp(1, cu_seqlens.shape[0] - 1) - 1
