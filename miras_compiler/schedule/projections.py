"""Rows that take their share of a tile out of it, as LayerNorm and its gradient do: x − y Σ x y.

A kernel that loads the tile as it was rounded has to sum up the loaded values. With the sums of the tile before, a rest of the share would
stay in every row: the largest error of all where gradients of gates nearly cancel. The same rest would come of rounding the products that
such a tile is a sum of, β · h W + … in front of LayerNorm: the gradient of β sums one of them with it.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from miras_compiler.ir.build import derivative, placeholder
from miras_compiler.ir.nodes import Contract, Map, Node, Reduce
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of


def projections(*programs: Program) -> set[Node]:
    """Tiles that must not be loaded rounded: the rows of sums that stand beside a tile that they sum up, the sums behind them, the products
    that such a tile is a sum of, each times a row.
    """

    @cache
    def entries_of(node: Node) -> frozenset[Node]:
        """The terms of which sums of a row, or a tile, are made entry by entry, down to products and leaves."""
        if not isinstance(node, Map | Reduce):
            return frozenset()
        inside = [arg for arg in node.args if len(node.axes) < 2 or len(arg.axes) == 2]
        return frozenset(inside).union(*(entries_of(arg) for arg in inside))

    found: set[Node] = set()
    for node in {node: None for program in programs for node in nodes_of(program)}:
        if isinstance(node, Map):
            beside = [rows for arg in node.args if (rows := rows_behind(arg))]
            if not beside:
                continue
            summed = set[Node]().union(*(entries_of(row) for rows in beside for row in rows))
            tiles = {arg for i, arg in enumerate(node.args) if len(arg.axes) == 2 and arg in summed and derivative(node.expr, i) != 0}
            for each in beside:
                rows = {row for row in each if not tiles.isdisjoint(entries_of(row))}
                found |= rows.union(*(scaled_products(tile) for tile in tiles if any(tile in entries_of(row) for row in rows)))
    return found


def scaled_products(tile: Node) -> set[Node]:
    """The products of matrices that a tile adds up times a row each."""
    if not isinstance(tile, Map):
        return set()
    args = {placeholder(index): arg for index, arg in enumerate(tile.args)}
    factors = ([args[x] for x in term.free_symbols if x in args] for term in sp.Add.make_args(tile.expr))
    return {arg for each in factors for arg in each if isinstance(arg, Contract) and any(len(other.axes) == 1 for other in each)}


def rows_behind(row: Node) -> set[Node]:
    """A row and those that it is computed from entry by entry, sums at last."""
    if len(row.axes) != 1 or not isinstance(row, Map | Reduce):
        return set()
    return {row}.union(*(rows_behind(arg) for arg in row.args))
