"""Passes over tile programs; the verifier runs after each."""

from __future__ import annotations

from miras_compiler.passes.pipeline import PASSES, run_passes

__all__ = ["PASSES", "run_passes"]
