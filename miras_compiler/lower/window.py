"""The rows that the tokens of a tile measure when a surprise has a window, and their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from miras_compiler.analysis.parallel_form import Kind
from miras_compiler.derive.rule import Rule
from miras_compiler.ir.build import input_tile, times
from miras_compiler.ir.nodes import Node


def own_rows(rule: Rule, kind: Kind) -> bool:
    """True if the tokens of a tile are the rows of all windows: where no state is frozen, or formed, for a tile of tokens."""
    return rule.surprise.window > 1 and not rule.chunk.has_grid and kind != "dual_per_token"


class TileWindow(NamedTuple):
    """`weights` [j, s]: the weight of row s in the surprise of token j. `owner` [j, s] is 1 where row s is there for token j alone, None
    where tokens share their rows.
    """

    weights: Node
    owner: Node | None


def build_window(rule: Rule, kind: Kind, name: Callable[[Node, str, str], Node]) -> TileWindow | None:
    """None where a surprise measures its own token, or where the rows of windows are those of the tile.

    Tokens share a row where it says the same to all of them: measured at one state, and weighed by one number. Else every token of the
    tile has the rows of its window for itself.
    """
    if rule.surprise.window == 1 or own_rows(rule, kind):
        return None
    if not any(rule.axes(gate) for gate in ("alpha", "alpha_value", "eta")):
        return TileWindow(name(input_tile("gamma_rows", ("j", "s")), "gamma_rows", "Γ"), None)
    owner = name(input_tile("owner", ("j", "s")), "owner", "owner")
    gamma = name(input_tile("gamma_rows", ("s",)), "gamma_rows", "γ")
    return TileWindow(name(times(owner, gamma), "gamma_of_token", "Γ"), owner)
