"""Tile programs as PyTorch."""

from __future__ import annotations

from miras_compiler.emit.torch.body import Body, print_body

__all__ = ["Body", "print_body"]
