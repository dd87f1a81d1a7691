"""Products: sums of products become products of matrices where both factors are matrices, and products become sums where one is a row."""

from __future__ import annotations

from collections.abc import Sequence

from miras_compiler.ir.build import contract, ordered, placeholder
from miras_compiler.ir.nodes import Contract, Map, Node, Reduce
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import rewrite


def choose_products(program: Program) -> Program:
    """The program with a Contract for every product of two matrices, which tensor cores do, and sums for all other products.

    A product of two matrices that was written as the sum of a tile of three axes never forms that tile then.
    """

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Contract) and not _is_of_matrices(*args):
            return _as_sum(node, args)
        same = type(node)(node.axes, args, node.fields)
        if isinstance(same, Reduce) and same.kind == "sum" and (factors := _factors(same)) is not None:
            return _in_order(contract(*factors), same)
        return same

    return rewrite(program, rule)


def _is_of_matrices(a: Node, b: Node) -> bool:
    return len(a.axes) == 2 and len(b.axes) == 2 and len(set(a.axes) & set(b.axes)) == 1


def _as_sum(node: Contract, args: Sequence[Node]) -> Node:
    """Σ of the entrywise product over every axis that the arguments share."""
    result: Node = Map(ordered((*args[0].axes, *args[1].axes)), tuple(args), (placeholder(0) * placeholder(1),))
    for axis in node.over:
        result = Reduce(tuple(a for a in result.axes if a != axis), (result,), ("sum", axis))
    return _in_order(result, node)


def _factors(node: Reduce) -> tuple[Node, ...] | None:
    """The matrices whose product a sum over an axis is."""
    (inside,) = node.args
    if not isinstance(inside, Map) or inside.expr != placeholder(0) * placeholder(1) or len(inside.axes) != 3:
        return None
    return inside.args if _is_of_matrices(*inside.args) and all(node.axis in arg.axes for arg in inside.args) else None


def _in_order(node: Node, like: Node) -> Node:
    """The tile with its axes in the order of another."""
    if node.axes == like.axes:
        return node
    if isinstance(node, Contract) and (turned := contract(*node.args[::-1])).axes == like.axes:
        return turned
    return Map(like.axes, (node,), (placeholder(0),))
