"""One tensor of an argument: its type, its axes, and its device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import torch
from torch import Tensor

from .runtime_values import debugs, holds, may_look

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
ROWS = ("q", "k", "v", "erase_key", "erase_write_key")  # the tokens that are no gates
STEPS = ("eta", "eta_d")  # gates that multiply a surprise; a threshold may be infinite, and so may a logarithm


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """The precision that a computation has: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def is_dense(x: object) -> TypeGuard[Tensor]:
    """True if x is a tensor with one shape, all of whose entries are in memory."""
    return isinstance(x, Tensor) and not x.is_nested and x.layout == torch.strided


def described(x: object, dtype: bool = True) -> str:
    """A value as a message says it: type and shape of a dense tensor, layout of another, class of anything else."""
    if not isinstance(x, Tensor):
        return type(x).__name__
    if not is_dense(x):
        return f"one of layout {'nested' if x.is_nested else x.layout}"
    return f"{x.dtype} of shape {list(x.shape)}" if dtype else str(list(x.shape))


def check_tensor(name: str, x: object, axes: str, lengths: dict[str, int], device: torch.device, whole: bool = False) -> None:
    """x is a dense tensor with these axes, each as long as in the arguments before; `lengths` gains the axes that are new.

    It holds floating-point numbers, or integers where `whole`. Raises ValueError, which names it `name`.
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"{name}: expected a tensor over [{', '.join(axes)}], got {type(x).__name__}")
    if not is_dense(x):
        raise ValueError(f"{name}: expected a dense tensor, got a {'nested' if x.is_nested else 'sparse'} one of layout {x.layout}")
    if x.device != device:
        raise ValueError(f"{name}: expected a tensor on {device}, as q is, got one on {x.device}")
    if x.dtype not in ((torch.int64, torch.int32) if whole else FLOATS):
        raise ValueError(f"{name}: expected {'integers' if whole else 'floating-point numbers of 16, 32 or 64 bits'}, got {x.dtype}")
    if x.dim() != len(axes) or any(lengths.get(axis, n) != n for axis, n in zip(axes, x.shape, strict=True)):
        expected = [lengths.get(axis, axis) for axis in axes]
        raise ValueError(f"{name}: expected shape [{', '.join(axes)}] = {expected}, got {list(x.shape)}")
    lengths.update(zip(axes, x.shape, strict=True))


def check_precision(name: str, x: Tensor, dtype: torch.dtype) -> None:
    """Keys and values have the type of the queries; nothing else is wider than the computation. Raises ValueError."""
    if name in ("k", "v", "erase_key", "erase_write_key") and x.dtype != dtype:
        raise ValueError(f"{name}: expected {dtype}, as q is, got {x.dtype}")
    if x.dtype == torch.float64 and dtype != torch.float64:
        raise ValueError(f"{name}: expected {dtype}, as q is, or float32, got {x.dtype}")


def check_range(name: str, x: Tensor, ranges: Mapping[str, tuple[float, float]], place: str = "") -> None:
    """Log decays are at most 0, and gates in their ranges, where values may be looked at. Raises ValueError, in which
    `place` stands before the name.

    Under MIRAS_DEBUG=1 gates are numbers, too, and steps are finite; else a NaN goes on to the outputs that depend on it.
    """
    if not may_look(x):
        return
    if debugs() and name not in ROWS and holds(x.isnan().any()):
        raise ValueError(f"{place}{name}: expected numbers, got NaN")
    if debugs() and name in STEPS and holds(x.isinf().any()):
        raise ValueError(f"{place}{name}: expected finite steps, got {float(x.max()):.3g}")
    if name.startswith("log_") and holds((x > 0).any()):
        raise ValueError(f"{place}{name}: expected logarithms of decays, at most 0, got {float(x.max()):.3g}")
    low, high = ranges.get(name, (-torch.inf, torch.inf))
    if low > -torch.inf and holds((x < low).any()):
        raise ValueError(f"{place}{name}: expected values of at least {low:g}, got {float(x.min()):.3g}")
    if high < torch.inf and holds((x > high).any()):
        raise ValueError(f"{place}{name}: expected values of at most {high:g}, got {float(x.max()):.3g}")
