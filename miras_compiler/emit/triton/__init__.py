"""The Triton backend: schedules and walks as kernels."""

from __future__ import annotations

from miras_compiler.emit.triton.kernels import emit_kernels
from miras_compiler.emit.triton.walk_file import emit_walk

__all__ = ["emit_kernels", "emit_walk"]
