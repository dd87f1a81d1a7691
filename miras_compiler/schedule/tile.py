"""The tile length: how many tokens a kernel computes at once."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.analysis.cost import axis_lengths
from miras_compiler.derive.rule import Rule
from miras_compiler.ir.nodes import PAST, TOKEN_AXES, Axes
from miras_compiler.runtime.runtime_limits import power_of_two, refusal, shared_out

TILE = 64
BLOCK = 64  # the part of a longer axis that a program holds at once
LEAST = 16  # lengths are padded to powers of two from here


def tile_length(rule: Rule) -> int:
    """Tokens of a tile: a chunk where all its surprises are taken at one state, else 64. Rows of writes and of whole windows are tokens.

    Where the state waits for the end of a chunk, all tiles of a chunk read the same state, and it has as many of 64 as it takes.
    """
    if rule.update.waits:
        return min(TILE, rule.chunk.size)
    return rule.chunk.size if rule.chunk.has_grid else TILE // rule.surprise.window * rule.surprise.window


def tile_lengths(rule: Rule) -> dict[str, int]:
    """The length of every axis of a tile at the spec's own dimensions."""
    tokens = tile_length(rule)
    return axis_lengths(rule.frame, tokens) | {"s": tokens, PAST: rule.surprise.window - 1}


def rows_of_token(rule: Rule) -> int:
    """The rows of a tile that belong to one token: those of its window, where tokens do not share them."""
    return 1 if rule.chunk.has_grid else rule.surprise.window


def tile_in_words(rule: Rule) -> str:
    """ "64 tokens"; of rows, how many a token has."""
    number = max(rule.update.writes, rows_of_token(rule))
    return f"{tile_length(rule)} tokens" if number == 1 else f"{tile_length(rule)} rows, {number} of a token"


def letter_of(axis: str) -> str:
    """The length of an axis in code: "K", "N", "V"; "C" for tokens."""
    return "C" if axis in TOKEN_AXES else axis[0].upper()


def why_too_large(states: Mapping[str, Axes], lengths: Mapping[str, int], split: str = "") -> str:
    """Why a state of these lengths cannot be walked with: its bytes and the widths that would fit; "" where it can.

    Programs may share out the axis `split`.
    """
    tiles = ["".join(map(letter_of, axes)) for axes in states.values()]
    widths = {letter_of(axis): lengths[axis] for axes in states.values() for axis in axes}
    letter = letter_of(split) if split else ""
    blocks = shared_out(tiles, {width: padded(length) for width, length in widths.items()}, letter)
    return refusal(tiles, widths, blocks, together=True, split=letter)


def padded(length: int) -> int:
    """The length of an axis in a tile of that many tokens."""
    return power_of_two(max(LEAST, length))
