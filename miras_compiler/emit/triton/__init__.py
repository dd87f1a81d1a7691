"""Programs as Triton kernels."""

from __future__ import annotations

from miras_compiler.emit.triton.kernels import emit_kernels

__all__ = ["emit_kernels"]
