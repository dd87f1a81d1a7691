"""The tile length: how many tokens a kernel computes at once."""

from __future__ import annotations

from miras_compiler.spec import Spec

TILE = 64


def tile_length(spec: Spec) -> int:
    """Tokens of a tile: a chunk where all its surprises are taken at one state, else what suits a GPU."""
    return spec.chunk.size if spec.frozen_gradient else TILE
