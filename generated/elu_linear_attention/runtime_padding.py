"""Padding: the tokens that an attention mask leaves, as sequences packed into one row. No value decides on a shape."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .runtime_tensor import described, is_dense
from .runtime_values import holds, may_look


class Packing(NamedTuple):
    """The places of the tokens of a padded batch [B, T] in one row of B · T: those of all sequences first, then the padding."""

    keep: Tensor  # [B, T]: where there is a token
    place: Tensor  # [B · T]
    cu_seqlens: Tensor  # int32 [B + 1]: the borders of the sequences in the row

    def pack(self, x: Tensor) -> Tensor:
        """x [B, T, D] as [1, B · T, D], with 0 for padding, whatever stands there."""
        rows = torch.where(self.keep[..., None], x, 0.0).flatten(0, 1)
        return torch.zeros_like(rows).index_copy(0, self.place, rows)[None]

    def unpack(self, x: Tensor) -> Tensor:
        """x [1, B · T, D] as [B, T, D], with 0 at padding."""
        rows = x[0].index_select(0, self.place).reshape(*self.keep.shape, x.shape[-1])
        return torch.where(self.keep[..., None], rows, 0.0)


def packing(attention_mask: Tensor, x: Tensor) -> Packing | None:
    """The packing of x [B, T, D] by a mask of 0 and 1 [B, ≥ T], whose last T columns count; None if no padding is seen.

    Values are checked on the CPU, and those of floating-point masks everywhere: an additive mask means the opposite. Raises
    ValueError for another shape and for other values.
    """
    batch, length = x.shape[:2]
    if isinstance(attention_mask, Tensor) and not is_dense(attention_mask):
        raise ValueError(f"attention_mask: expected a dense tensor, got {described(attention_mask)}")
    if not is_dense(attention_mask) or attention_mask.dim() != 2 or attention_mask.shape[0] != batch or attention_mask.shape[1] < length:
        got = described(attention_mask, dtype=False)
        raise ValueError(f"attention_mask: expected 0 and 1 of shape [{batch}, {length}], or with the tokens before them, got {got}")
    if attention_mask.device != x.device:
        raise ValueError(f"attention_mask: expected a tensor on {x.device}, as hidden_states is, got one on {attention_mask.device}")
    looks = may_look(attention_mask) or (attention_mask.is_floating_point() and not torch.compiler.is_compiling())
    if looks and holds(((attention_mask != 0) & (attention_mask != 1)).any()):
        raise ValueError("attention_mask: expected 1 at tokens and 0 at padding, got other values; an additive mask cannot be used")
    keep = attention_mask[:, attention_mask.shape[1] - length :] == 1
    if looks and holds(keep.all()):
        return None
    flat = keep.flatten().to(torch.int64)
    ends = keep.sum(1).cumsum(0)
    place = torch.where(keep.flatten(), flat.cumsum(0) - 1, ends[-1] + (1 - flat).cumsum(0) - 1)
    return Packing(keep, place, functional.pad(ends, (1, 0)).to(torch.int32))


def before_border(x: Tensor, cu_seqlens: Tensor) -> Tensor:
    """A row x [1, T, D] of packed sequences, with 0 behind the last border, whatever stands there."""
    token = torch.arange(x.shape[1], device=x.device)
    return torch.where((token < cu_seqlens[-1])[:, None], x, 0.0)
