"""From a spec to its update rule: its meaning, derived symbolically."""

from __future__ import annotations

from miras_compiler.derive.chunk_coefficients import ChunkCoefficients, derive_chunk_coefficients
from miras_compiler.derive.update_rule import UpdateRule, derive_update_rule

__all__ = ["ChunkCoefficients", "UpdateRule", "derive_chunk_coefficients", "derive_update_rule"]
