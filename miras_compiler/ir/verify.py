"""Our invariants, asserted after every pass: axes, arity, letters, single definition."""

from __future__ import annotations

from miras_compiler.errors import InternalError
from miras_compiler.ir.build import is_constant, length, placeholder
from miras_compiler.ir.nodes import (
    AXIS_ORDER,
    TOKEN_AXES,
    Axes,
    Contract,
    Cumulate,
    Decayed,
    ForwardSubstitute,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Start,
    TriangularSolve,
    factors_of,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of


def verify_program(program: Program) -> Program:
    """The program itself, or an InternalError that names the first tile that breaks a rule."""
    names: dict[str, Node] = {}
    for node in nodes_of(program):
        problem = "" if node.is_sound else _problem(node)
        node.is_sound = not problem
        if isinstance(node, Leaf) and names.setdefault(node.name, node) is not node:
            problem = f"two leaves are called {node.name}"
        if problem:
            raise InternalError(f"{program.name}: {node!r}: {problem}")
    labels = [label.name for label in program.labels.values()]
    if len(labels) != len(set(labels)):
        raise InternalError(f"{program.name}: two tiles have the label {max(labels, key=labels.count)}")
    return program


def _problem(node: Node) -> str:
    """The fault of one tile, which depends on nothing but the tile and its arguments; "" for none."""
    if len(set(node.axes)) != len(node.axes) or not set(node.axes) <= set(AXIS_ORDER):
        return "axes are not distinct known names"
    expected = {Leaf: 0, Contract: 2, TriangularSolve: 2, Rename: 1, Start: 1, Reduce: 1, Cumulate: 1, Mask: 1}
    for kind, arity in expected.items():
        if isinstance(node, kind) and len(node.args) != arity:
            return f"has {len(node.args)} arguments, not {arity}"
    if isinstance(node, Map):
        allowed = {placeholder(i) for i in range(len(node.args))} | {length(a) for a in AXIS_ORDER}
        if not node.expr.free_symbols <= allowed:
            return f"unbound letters in {node.expr}"
        if not all(set(arg.axes) <= set(node.axes) for arg in node.args):
            return "an argument has an axis that the result lacks"
    elif isinstance(node, Contract):
        a, b = node.args
        left = tuple(x for x in a.axes if x not in b.axes)
        right = tuple(x for x in b.axes if x not in a.axes)
        if not node.over or node.axes != left + right:
            return "axes are not those of a contraction"
    elif isinstance(node, Rename):
        (arg,) = node.args
        if node.axes != tuple(node.new if a == node.old else a for a in arg.axes) or node.old not in arg.axes:
            return "renames an axis that is not there"
    elif isinstance(node, Start):
        if node.axes != node.args[0].axes or not (isinstance(node.args[0], Leaf) or is_constant(node.args[0])):
            return "stands for no leaf or number over the same axes"
    elif isinstance(node, Reduce):
        if node.axes != tuple(a for a in node.args[0].axes if a != node.axis) or node.axis not in node.args[0].axes:
            return "reduces an axis that is not there"
    elif isinstance(node, Cumulate):
        if node.axis not in TOKEN_AXES or node.axis not in node.axes or node.axes != node.args[0].axes:
            return "cumulates along an axis that is no token axis of the tile"
    elif isinstance(node, Mask):
        if not {node.row, node.column} <= TOKEN_AXES & set(node.axes) or node.axes != node.args[0].axes:
            return "masks axes that are no token axes of the tile"
    elif isinstance(node, Decayed):
        if len(node.args) != len(factors_of(node.part)) or any(len(arg.axes) != 2 for arg in node.args):
            return "is no product of tiles of two axes"
        if not _fits_decay(node):
            return "axes are not those of a product under decays"
    elif isinstance(node, TriangularSolve):
        lower, right_side = node.args
        if not set(lower.axes[:2]) <= TOKEN_AXES or not set(node.batch) <= set(right_side.axes):
            return "the triangle is not over two token axes"
        if len(set(lower.axes[:2]) & set(right_side.axes)) != 1:
            return "the right side shares not exactly one axis with the triangle"
        if node.axes != _solution_axes(lower, right_side, node.transposed):
            return "axes are not those of a solution"
    elif isinstance(node, ForwardSubstitute):
        lower, right_side = node.args[:2]
        fits = lower.axes[node.transposed] == right_side.axes[0] and lower.axes[2:] in ((), right_side.axes[1:])
        if not set(lower.axes[:2]) <= TOKEN_AXES or not fits:
            return "the triangle does not fit the right side"
        if len(node.names) != len(node.args) - 2 or len(node.phi.outputs) != 1:
            return "the rows of phi do not fit its leaves"
        if node.axes != _solution_axes(lower, right_side, node.transposed):
            return "axes are not those of a solution"
    return ""


def _fits_decay(node: Decayed) -> bool:
    """True if the factors of a product under decays, and the product, agree in their axes."""
    axes = {name: arg.axes for name, arg in node.factors.items()} | {node.part: node.axes}
    (row, column), channel = axes["scores"], axes["logs"][1]
    expected = {"scores": (row, column), "rows": (row, channel), "columns": (column, channel), "logs": (row, channel)}
    return {row, column} <= TOKEN_AXES and channel not in TOKEN_AXES and axes == expected


def _solution_axes(lower: Node, right_side: Node, transposed: bool) -> Axes:
    """The axes of the right side, with the row axis of the triangle called by the column's name, or the other way round."""
    row, column = lower.axes[:2]
    swap = {column: row} if transposed else {row: column}
    return tuple(swap.get(axis, axis) for axis in right_side.axes)
