"""The layout of a tile in code: the names of its axes, the tiles that share it, and the products whose orientation counts."""

from __future__ import annotations

import sympy as sp

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import (
    TOKEN_AXES,
    Axes,
    Contract,
    Leaf,
    Map,
    Node,
    Rename,
    Start,
)
from miras_compiler.schedule.tile import letter_of as width


def block(axis: str) -> str:
    """The padded length."""
    return f"B{width(axis)}"


def place(axis: str) -> str:
    """The variable that counts along an axis."""
    return "r" if axis in TOKEN_AXES else f"at_{axis}"


def is_broadcast(node: Node) -> bool:
    return isinstance(node, Map) and node.expr == placeholder(0)


def is_product(node: Node) -> bool:
    """True if the compiler will hold this tile as the bare result of a tensor-core product: a product, or a sum that begins with one."""
    if isinstance(node, Rename):
        return is_product(node.args[0])
    if isinstance(node, Map):
        terms = sp.Add.make_args(node.expr)
        return any(term == placeholder(i) and is_product(arg) for term in terms for i, arg in enumerate(node.args))
    return isinstance(node, Contract)


def spans(node: Node) -> bool:
    """True if the code of a tile has all its axes without being broadcast."""
    if isinstance(node, Map):
        return bool({axis for arg in node.args for axis in arg.axes if spans(arg)} == set(node.axes))
    if isinstance(node, Rename):
        return spans(node.args[0])
    return True


def origin(node: Node, axis: str) -> str:
    """The axis of a leaf that an axis of a tile is another name of: kernels count along those of leaves."""
    while not isinstance(node, Leaf):
        if isinstance(node, Rename) and axis == node.new:
            axis = node.old
        below = next((arg for arg in node.args if axis in arg.axes), None)
        if below is None:
            break
        node = below
    return axis


def _behind(node: Node) -> Node:
    return _behind(node.args[0]) if isinstance(node, Rename | Start) else node


def _axes(node: Node, order: Axes) -> Axes:
    """The natural orientation of a tile among the axes of `order`."""
    return tuple(node.axes) if set(node.axes) == set(order) else order
