"""Peak rates of GPUs, by class: a roofline is made of them."""

from __future__ import annotations

import re
from typing import NamedTuple


class GPU(NamedTuple):
    """Peak rates of a device per second, as its datasheet gives them: dense bfloat16 products, other float32 operations, bytes of memory.

    Large products on an H200 were measured at about 790e12, four fifths of its figure.
    """

    name: str
    products: float
    others: float
    bytes: float


H100 = GPU("H100 SXM", 989e12, 67e12, 3.35e12)
H200 = GPU("H200 SXM", 989e12, 67e12, 4.8e12)
GPUS = {"H100": H100, "H200": H200, "A100": GPU("A100 SXM", 312e12, 19.5e12, 2.04e12)}


def gpu_class(device: str) -> str:
    """The class of a device by the name that its driver gives: "H100" of "NVIDIA H100 80GB HBM3"; the name itself where none is known."""
    return next((name for name in GPUS if re.search(rf"\b{name}\b", device)), device)
