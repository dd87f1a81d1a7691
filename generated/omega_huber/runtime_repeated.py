"""Tokens by their rows: those of several writes, or of a window."""

from __future__ import annotations

import torch
from torch import Tensor


def by_rows(name: str, x: Tensor, number: int, axis: int) -> Tensor:
    """A value of tokens, the same for `number` rows of each; a decay stands on a token's first row."""
    x = x.repeat_interleave(number, axis)
    return on_row(x, number, 0, axis) if name.startswith("log_") else x


def on_row(x: Tensor, number: int, row: int, axis: int) -> Tensor:
    """A value of rows, 0 but on that row of each token."""
    here = torch.arange(x.shape[axis], device=x.device) % number == row
    return torch.where(here.reshape(-1, *[1] * (x.dim() - axis - 1)), x, 0.0)


def of_row(x: Tensor, number: int, row: int, axis: int) -> Tensor:
    """A value of tokens: that of one row of each."""
    return x[(slice(None),) * axis + (slice(row, None, number),)]
