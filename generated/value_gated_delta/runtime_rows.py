"""Rows of a layer: queries, keys and values per head."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .runtime_norms import wide


def split_heads(x: Tensor, heads: int, writes: int = 1) -> Tensor:
    """x [B, T, writes · H · D] as [B, T · writes, H, D]; float16 becomes float32.

    The operator reads in the type of its rows, and a reading may pass 65504, where float16 ends, before a norm brings it down.
    """
    rows = x.reshape(x.shape[0], x.shape[1] * writes, heads, x.shape[2] // (writes * heads))
    return rows.float() if rows.dtype == torch.float16 else rows


def repeat_heads(x: Tensor, heads: int) -> Tensor:
    """x [B, T, H, D] with every head as many times, side by side, as there are `heads` for one of them."""
    return x[:, :, :, None].expand(*x.shape[:3], heads // x.shape[2], x.shape[3]).flatten(2, 3)


def with_zeros(x: Tensor, writes: int, write: int) -> Tensor:
    """x [B, T · (writes − 1), H, D] with zeros for one write of every token, counted from 1: [B, T · writes, H, D]."""
    rows = x.reshape(x.shape[0], x.shape[1] // (writes - 1), writes - 1, *x.shape[2:])
    return torch.cat((rows[:, :, : write - 1], torch.zeros_like(rows[:, :, :1]), rows[:, :, write - 1 :]), 2).flatten(1, 2)


def unit(x: Tensor) -> Tensor:
    """x [..., D] divided by its length, √(|x|² + 1e-6), in the dtype of x; 0 stays 0."""
    y, width = wide(x), x.shape[-1]
    normed: Tensor = functional.rms_norm(y, [width], eps=1e-6 / width)  # by √(|x|² / D + 1e-6 / D), one kernel
    return (normed / math.sqrt(width)).to(x.dtype)
