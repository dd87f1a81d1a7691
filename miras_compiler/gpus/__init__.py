"""Facts about GPUs: their rates, and the launches that were measured on them."""

from __future__ import annotations

from miras_compiler.gpus.rates import GPU, GPUS, H100, H200, gpu_class

__all__ = ["GPU", "GPUS", "H100", "H200", "gpu_class"]
