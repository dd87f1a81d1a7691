"""Sums over segments of tokens, and their gradient: recognized in a program, because there are cheaper ways than the scans that say it."""

from __future__ import annotations

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import Cumulate, Map, Mask, Node, Reduce


def segments_of(node: Node) -> Node | None:
    """x, where the tile is Σ_{column<l≤row} x_l for every row and column, or Σ_{column<l<row} x_l, 0 above the diagonal; else nothing."""
    if not isinstance(node, Cumulate) or node.reverse:
        return None
    (masked,) = node.args
    if not isinstance(masked, Mask) or masked.low != 1 or masked.row != node.axis:
        return None
    (spread,) = masked.args
    if isinstance(spread, Map) and spread.expr == placeholder(0) and spread.args[0].axes == (masked.row,):
        return spread.args[0]
    return None


def gathered_of(node: Node) -> Cumulate | None:
    """The cumulated M, where the row is Σ_{column<l≤row} M for every l, the reverse mode of the sums over segments; else nothing."""
    if not isinstance(node, Reduce) or node.kind != "sum":
        return None
    (masked,) = node.args
    if not isinstance(masked, Mask) or masked.low != 1 or masked.column != node.axis:
        return None
    (sums,) = masked.args
    if isinstance(sums, Cumulate) and sums.reverse and sums.axis == masked.row:
        return sums
    return None
