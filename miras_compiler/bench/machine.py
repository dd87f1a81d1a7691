"""The machine that is measured on."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import NamedTuple

from miras_compiler.errors import InputError


class Machine(NamedTuple):
    """The GPU as its driver calls it, and the versions that compile for it."""

    device: str
    torch: str
    triton: str


def find_gpu() -> Machine:
    """The first GPU; InputError with the remedy where torch or Triton see none."""
    import torch

    remedy = "run it on a machine with an NVIDIA GPU, or verify the kernels here with TRITON_INTERPRET=1 miras verify"
    if not torch.cuda.is_available():
        raise InputError(f"bench measures on a GPU, and torch {torch.__version__} finds none on this machine; {remedy}")
    if importlib.util.find_spec("triton") is None:
        raise InputError("bench runs Triton kernels, and Triton is not installed beside this torch; install a CUDA build of torch")
    return Machine(torch.cuda.get_device_name(), torch.__version__, version("triton"))
