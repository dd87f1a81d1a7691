"""Autocast: the type of its products, and forms in PyTorch whose precision is theirs alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

DEVICES = ("cpu", "cuda", "hpu", "ipu", "mps", "mtia", "xla", "xpu")
AUTOCAST = frozenset(kind for kind in DEVICES if torch.amp.is_autocast_available(kind))  # dynamo of torch 2.11 cannot trace the question


def autocast_type(device: torch.device) -> torch.dtype | None:
    """The type that autocast gives the operands of products on this device; None where it is off."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if kind in AUTOCAST and torch.is_autocast_enabled(kind) else None


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which products of tensors on this device are computed in the tensors' own type."""
    return torch.autocast(device.type, enabled=False) if device.type in AUTOCAST else nullcontext()
