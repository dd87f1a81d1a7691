"""Build rows that depend on the rows before them: products under decays, triangular solves, substitutions."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import constant, contract, entrywise, is_constant, largest, mask, rename, times, total
from miras_compiler.ir.nodes import (
    FACTORS,
    Decayed,
    ForwardSubstitute,
    Leaf,
    Map,
    Node,
    Reduce,
    Rename,
    TriangularSolve,
    factors_of,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import topological


def decayed(part: str, factors: Mapping[str, Node], low: int, *, exclusive: bool) -> Node:
    """The derivative by `part` of a product under decays per channel; see Decayed. `factors` are all four, or those that it has."""
    (row, channel), column = factors["logs"].axes, factors["columns" if part != "columns" else "scores"].axes[part == "columns"]
    axes = {"scores": (row, column), "rows": (row, channel), "columns": (column, channel), "logs": (row, channel)}[part]
    args = tuple(factors[name] for name in factors_of(part))
    return constant(0, axes) if any(is_constant(arg, 0) for arg in args) else Decayed(axes, args, (part, low, exclusive))


def coupled_part(part: str, factors: Mapping[str, Node], *, exclusive: bool) -> Node:
    """The derivative by `scores`, `rows` or `columns` of a product under decays, or without, of a row and the rows before it.

    It has the other two factors.
    """
    if "logs" in factors:
        return decayed(part, factors, 1, exclusive=exclusive)
    first, second = (factors[name] for name in FACTORS[:3] if name != part)
    if part == "scores":
        return strict(contract(first, second))
    return contract(strict(first), second)


def strict(node: Node) -> Node:
    """A tile of pairs of tokens [row, column], 0 where the column is not before the row."""
    row, column = node.axes
    return mask(node, row, column, 1)


def triangular_solve(lower: Node, right: Node) -> Node:
    row, column = lower.axes[:2]
    swap = {row: column} if row in right.axes else {column: row}
    return TriangularSolve(tuple(swap.get(a, a) for a in right.axes), (lower, right))


def forward_substitute(
    lower: Node,
    right: Node,
    phi: Program,
    rows: Mapping[str, Node],
    *,
    transposed: bool = False,
    together: int = 1,
    exclusive: bool = False,
) -> Node:
    """Row after row through `phi`; see ForwardSubstitute."""
    row, column = lower.axes[:2]
    swap = {column: row} if transposed else {row: column}
    names = tuple(sorted(rows))
    tiles = (lower, right, *(rows[n] for n in names))
    return ForwardSubstitute(tuple(swap.get(a, a) for a in right.axes), tiles, (phi, names, transposed, together, exclusive))


def bracket(node: ForwardSubstitute) -> Node:
    """R − L X, of which φ gives every row of a substitution X; over the axes of R."""
    lower, right = node.args[:2]
    over = lower.axes[0 if node.transposed else 1]
    if node.factors:
        own, other = ("columns", "rows") if node.transposed else ("rows", "columns")
        factors = {"scores": lower, **node.factors}
        given = times(factors[other], node) if other in factors else node
        coupled = coupled_part(own, factors | {other: given}, exclusive=node.exclusive)
        coupled = times(factors[own], coupled) if own in factors else coupled
    else:
        coupled = total(times(lower, node), over) if node.by_channel else contract(lower, node)
    return entrywise(letter("r") - letter("s"), {"r": right, "s": coupled}, right.axes)


def instantiate(program: Program, output: str, bindings: Mapping[str, Node], axis: str) -> Node:
    """One output of a program of a single row, for all rows at once: leaves are bound to tiles, most of them with the row axis."""
    tiles: dict[Node, Node] = {}
    for node in topological([program.outputs[output]]):
        args = [tiles[arg] for arg in node.args]
        match node:
            case Leaf():
                tiles[node] = bindings[node.name]
            case Map():
                over = (*((axis,) if any(axis in arg.axes for arg in args) else ()), *node.axes)
                tiles[node] = entrywise(node.expr, {f"x{i}": arg for i, arg in enumerate(args)}, over)
            case Reduce(kind=kind):
                tiles[node] = total(args[0], node.axis) if kind == "sum" else largest(args[0], node.axis)
            case Rename():
                tiles[node] = rename(args[0], node.old, node.new)
            case _:
                raise InternalError(f"{node!r} in a program of one row")
    return tiles[program.outputs[output]]
