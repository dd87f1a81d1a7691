"""The tile of the PyTorch form: how many tokens it computes at once when it is not told."""

from __future__ import annotations

from miras_compiler.analysis.parallel_form import Kind
from miras_compiler.derive.rule import Rule
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of

SMALL_TILE = 16  # where something exists for every token, or every pair of them, and every channel
TILE = 64


def has_own_rows(program: Program) -> bool:
    """True if every token of a tile has the rows of its window for itself."""
    return any(leaf.name in ("owner", "gamma") for leaf in leaves_of(program))


def default_tile(rule: Rule, kind: Kind, own_rows: bool) -> int:
    """Tokens (with several writes per token, rows) of a tile; where each has rows of its own, as many as have so many rows.

    A whole chunk where the state waits for its end: no tile is made for pairs of tokens then, and products of many rows are fast.
    """
    if rule.update.waits and rule.surprise.window == 1:
        return rule.chunk.size
    by_channel = any(rule.axes(gate) for gate in rule.decays) or rule.memory.entrywise
    tile = SMALL_TILE if kind == "dual_per_token" or by_channel else TILE
    tile = max(tile // rule.surprise.window, 1) if own_rows else tile
    return min(tile, rule.chunk.size) if rule.chunk.has_grid else tile
