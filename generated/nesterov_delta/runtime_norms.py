"""Norms of a layer, in float32 or more, also under autocast."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def wide(x: Tensor) -> Tensor:
    """x in float32, or in float64 where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., D] divided by its root mean square, times `weight` [D]; in float32 or more."""
    y = wide(x)
    return functional.rms_norm(y, y.shape[-1:], weight.to(y.dtype), 1e-5)


def layer_norm(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., D] with mean 0 and variance 1, times `weight` [D]; in float32 or more."""
    y = wide(x)
    return functional.layer_norm(y, y.shape[-1:]) * weight
