"""Sums of tiles that have a name in the mathematics: norms, inner products, softmaxes, sums over segments of tokens."""

from __future__ import annotations

import sympy as sp

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import TOKEN_AXES, Axes, Map, Mask, Node, Reduce
from miras_compiler.ir.program import Program


def is_segment(node: Node) -> bool:
    """Numbers per row token, for every column before it."""
    if not (isinstance(node, Mask) and node.low == 1 and isinstance(node.args[0], Map)):
        return False
    rows = node.args[0]
    return bool(rows.expr == placeholder(0)) and rows.args[0].axes == (node.row, *node.axes[2:])


def whole_reduction(node: Reduce, program: Program) -> tuple[Axes, Node]:
    """The channels that sums of sums (or maxima of maxima) without names run over, and the reduced expression."""
    over, core = [node.axis], node.args[0]
    while isinstance(core, Reduce) and core.kind == node.kind and core not in program.labels and core.axis not in TOKEN_AXES:
        over, core = [core.axis, *over], core.args[0]
    return tuple(over), core


def squared(node: Node, program: Program) -> Node | None:
    """x where the tile is x², entry by entry, and has no name."""
    if isinstance(node, Map) and node not in program.labels and node.expr == placeholder(0) ** 2 and node.axes == node.args[0].axes:
        return node.args[0]
    return None


def inner_sum(node: Node, axis: str, program: Program) -> tuple[Node, Node] | None:
    """a and b where the tile is a · b without a name, both have the axis that is summed over, and one of them is a row."""
    if not isinstance(node, Map) or node in program.labels or node.expr != placeholder(0) * placeholder(1):
        return None
    a, b = node.args
    widths = sorted(len([axis for axis in each.axes if axis not in TOKEN_AXES]) for each in (a, b))
    return (a, b) if axis in a.axes and axis in b.axes and widths in ([1, 1], [1, 2]) else None


def distribution(numerator: Node, denominator: Reduce, program: Program) -> tuple[Node, Axes] | None:
    """x and the axes where the two are exp(x − max x) and its sum over the axes."""
    over, core = whole_reduction(denominator, program)
    if core is not numerator or not isinstance(numerator, Map) or len(numerator.args) != 2:
        return None
    for place, x in enumerate(numerator.args):
        largest = numerator.args[1 - place]
        if numerator.expr == sp.exp(placeholder(place) - placeholder(1 - place)) and isinstance(largest, Reduce):
            axes, source = whole_reduction(largest, program)
            if largest.kind == "max" and source is x and set(axes) == set(over):
                return x, over
    return None
