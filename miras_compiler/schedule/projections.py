"""Rows that take their share of a tile out of it, as LayerNorm and its gradient do: x − y Σ x y.

A kernel that loads the tile as it was rounded has to sum up what it loaded. With the sums of the tile before, a rest of the share would
stay in every row: the largest error of all where gradients of gates nearly cancel.
"""

from __future__ import annotations

from functools import cache

from miras_compiler.ir.nodes import Map, Node, Program, Reduce
from miras_compiler.ir.traverse import nodes_of


def projecting_rows(*programs: Program) -> set[Node]:
    """The rows of sums that stand beside a tile that they sum up, and the sums behind them."""

    @cache
    def entries_of(row: Node) -> frozenset[Node]:
        """What sums are made of, down to products and leaves."""
        if not isinstance(row, Map | Reduce):
            return frozenset()
        return frozenset(row.args).union(*(entries_of(arg) for arg in row.args))

    found: set[Node] = set()
    for node in {node: None for program in programs for node in nodes_of(program)}:
        if isinstance(node, Map):
            tiles = {arg for arg in node.args if len(arg.axes) == 2}
            for arg in node.args:
                found |= {row for row in rows_behind(arg) if not tiles.isdisjoint(entries_of(row))}
    return found


def rows_behind(row: Node) -> set[Node]:
    """A row and those that it is computed from entry by entry, sums at last."""
    if len(row.axes) != 1 or not isinstance(row, Map | Reduce):
        return set()
    return {row}.union(*(rows_behind(arg) for arg in row.args))
