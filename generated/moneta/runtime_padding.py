"""Padding: the tokens that an attention mask leaves, as sequences packed into one row."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def unpadded(attention_mask: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The places of the tokens that are no padding, in the rows of x laid end to end, and the borders of the rows among them."""
    batch, length = x.shape[:2]
    if attention_mask.dim() != 2 or len(attention_mask) != batch or attention_mask.shape[1] < length:
        raise ValueError(f"attention_mask: expected 0 and 1 of shape [{batch}, {length}], got {list(attention_mask.shape)}")
    mask = attention_mask[:, -length:].bool()
    tokens = mask.sum(1)
    if not bool(tokens.all()):
        raise ValueError(f"attention_mask: expected a token in every row, got rows of {tokens.tolist()} tokens")
    return mask.flatten().nonzero().squeeze(1), functional.pad(tokens.cumsum(0), (1, 0)).to(torch.int32)
