"""Norms of a layer, in float32 or more, also under autocast."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def wide(x: Tensor) -> Tensor:
    """x in float32, or in float64 where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rms_norm(x: Tensor, weight: Tensor, rounded: torch.dtype | None = None) -> Tensor:
    """x [..., D] divided by its root mean square, times `weight` [D]; in float32 or more, or `rounded` to a dtype.

    Of x in the dtype of the weight, one kernel computes and rounds.
    """
    y = x if rounded is not None and x.dtype == weight.dtype else wide(x)
    normed = functional.rms_norm(y, y.shape[-1:], weight.to(y.dtype), 1e-5)
    return normed if rounded is None else normed.to(rounded)


def layer_norm(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., D] with mean 0 and variance 1, times `weight` [D]; in float32 or more.

    The mean is taken off first: on a CPU PyTorch's kernel loses as many digits of results and gradients as the mean has more than the rest.
    """
    y = wide(x)
    return functional.layer_norm(y - y.mean(-1, keepdim=True), y.shape[-1:]) * weight
