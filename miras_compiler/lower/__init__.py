"""From a rule and its parallel form to the tile program of a chunk."""

from __future__ import annotations

from miras_compiler.lower.build_program import build_program

__all__ = ["build_program"]
