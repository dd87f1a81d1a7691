"""The tile length: how many tokens a kernel computes at once."""

from __future__ import annotations

from miras_compiler.derive.rule import Rule
from miras_compiler.gpus.launch_table import tuned_tile

TILE = 64
BLOCK = 64  # of an axis that is longer, what a program holds at once
LEAST = 16  # lengths are padded to powers of two from here


def tile_length(rule: Rule) -> int:
    """Tokens of a tile: a chunk where all its surprises are taken at one state, else what was fastest, 64 where nothing was measured."""
    return rule.chunk if rule.frozen else tuned_tile(rule.spec) or TILE


def padded(length: int) -> int:
    """What a tile of that length takes along an axis."""
    return 1 << (max(LEAST, length) - 1).bit_length()
