"""Numbers inside tensors: read where that is possible and costs nothing.

There are none to read under torch.compile and torch.export, on the meta device, in fake tensors and under torch.func.vmap.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch._subclasses import FakeTensor


def may_look(x: Tensor) -> bool:
    """True if values of x are checked: on the CPU always; on a GPU, which would have to wait, only under MIRAS_DEBUG=1."""
    return not torch.compiler.is_compiling() and not is_empty(x) and (x.device.type == "cpu" or debugs())


def debugs() -> bool:
    """True under MIRAS_DEBUG=1."""
    return os.environ.get("MIRAS_DEBUG") == "1"


def holds(condition: Tensor) -> bool:
    """True if a condition on values is seen to hold; False where its value cannot be read."""
    try:
        return bool(condition)
    except RuntimeError:  # of vmap, of the meta device, of a fake tensor
        return False


def numbers(x: Tensor) -> list[int] | None:
    """The integers in x; None where they cannot be read."""
    if torch.compiler.is_compiling():
        return None
    try:
        return [int(number) for number in x.tolist()]
    except RuntimeError:
        return None


def is_mapped(x: object) -> bool:
    """True if x is a tensor that torch.func.vmap maps over: its numbers cannot be read here, but inside an operator they can."""
    transforms = torch._C._functorch
    while isinstance(x, Tensor) and transforms.is_functorch_wrapped_tensor(x):
        if transforms.is_batchedtensor(x):
            return True
        x = transforms.get_unwrapped(x)
    return False


def is_empty(x: Tensor) -> bool:
    """True if x has a shape and no values: on the meta device, and in fake tensors."""
    return x.device.type == "meta" or isinstance(x, FakeTensor)
