"""Build the tiles of a formula: its sums and maxima over a row, and the multipliers that give a row its total."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from miras_compiler.expressions.symbols import RowMax, RowRoot, RowSum, letter
from miras_compiler.ir.build import ZETA, entrywise, largest, ordered, placeholder, total
from miras_compiler.ir.nodes import (
    Axes,
    Node,
    Root,
)


def _root(root: RowRoot, bound: Mapping[str, Node], row: Axes) -> Node:
    """The multiplier that gives a row its total."""
    curve, sum_of_row = root.args
    (unknown,) = curve.variables
    used = [name for name in sorted(bound) if letter(name) in curve.expr.free_symbols - {unknown}]
    tiles = [bound[name] for name in used]
    over = ordered({axis for tile in tiles for axis in tile.axes} | set(row))
    names = {letter(name): placeholder(i) for i, name in enumerate(used)}
    fields = (curve.expr.xreplace({**names, unknown: ZETA}), sum_of_row, tuple(row))
    return Root(tuple(axis for axis in over if axis not in row), tuple(tiles), fields)


def lower_expression(expr: sp.Expr, arguments: Mapping[str, Node], row: Axes, axes: Axes | None = None) -> Node:
    """A formula with row reductions as tiles: the innermost reductions first, each over the axes of `row` that its argument has.

    A reduction's argument is a tile of its own, which the rest of the formula uses where it occurs again.
    """
    bound = dict(arguments)
    for root in sorted(expr.atoms(RowRoot), key=sp.default_sort_key):
        name = f"root{len(bound)}"
        bound[name] = _root(root, bound, row)
        expr = expr.xreplace({root: letter(name)})
    while True:
        inner = [e for e in sp.preorder_traversal(expr) if isinstance(e, RowSum | RowMax) and not e.args[0].has(RowSum, RowMax)]
        if not inner:
            return entrywise(expr, bound, axes)
        for reduction in sorted(set(inner), key=sp.default_sort_key):
            (inside,) = reduction.args
            over = ordered({a for s in inside.free_symbols if s.name in bound for a in bound[s.name].axes} | set(row))
            node = entrywise(inside, bound, over)
            reduced = node
            for axis in row:
                reduced = total(reduced, axis) if isinstance(reduction, RowSum) else largest(reduced, axis)
            names = f"inside{len(bound)}", f"reduction{len(bound)}"
            bound |= {names[0]: node, names[1]: reduced}
            expr = expr.xreplace({reduction: letter(names[1])})
            if not inside.is_Symbol and not inside.is_number:
                expr = expr.xreplace({inside: letter(names[0])})
