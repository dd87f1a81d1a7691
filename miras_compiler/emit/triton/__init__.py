"""Programs as Triton kernels."""

from __future__ import annotations

from miras_compiler.emit.triton.decode import can_decode, emit_decode
from miras_compiler.emit.triton.kernels import emit_kernels

__all__ = ["can_decode", "emit_decode", "emit_kernels"]
