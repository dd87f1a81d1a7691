"""Rows of a layer: queries, keys and values per head."""

from __future__ import annotations

import torch
from torch import Tensor

from .runtime_norms import wide


def split_heads(x: Tensor, heads: int, writes: int = 1) -> Tensor:
    """x [B, T, writes · H · D] as [B, T · writes, H, D]; float16 becomes float32.

    The operator reads in the type of its rows, and a reading may pass 65504, where float16 ends, before a norm brings it down.
    """
    rows = x.reshape(x.shape[0], x.shape[1] * writes, heads, x.shape[2] // (writes * heads))
    return rows.float() if rows.dtype == torch.float16 else rows


def unit(x: Tensor) -> Tensor:
    """x [..., D] divided by its length, in the dtype of x; 0 stays 0."""
    y = wide(x)
    return (y * torch.rsqrt(y.square().sum(-1, keepdim=True) + 1e-6)).to(x.dtype)
