"""Build tiles, simplified: constants fold into expressions, unused and repeated arguments go, neutral operations vanish."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from functools import reduce

import sympy as sp

from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import RowMax, RowRoot, RowSum, letter
from miras_compiler.ir.nodes import (
    AXIS_ORDER,
    FACTORS,
    Axes,
    Contract,
    Cumulate,
    Decayed,
    ForwardSubstitute,
    Input,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Root,
    State,
    TriangularSolve,
    factors_of,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import topological

ZETA = letter("zeta")


def ordered(axes: Iterable[str]) -> Axes:
    """The axes in the one order used everywhere: tokens, key, hidden, value."""
    return tuple(sorted(set(axes), key=AXIS_ORDER.index))


@functools.cache
def placeholder(index: int) -> sp.Symbol:
    """The symbol that stands for argument `index` in the expression of a Map."""
    return letter(f"x{index}")


@functools.cache
def length(axis: str) -> sp.Symbol:
    """The length of an axis, as it may appear in the expression of a Map."""
    return sp.Symbol(f"dim_{axis}", positive=True)


@functools.cache
def lengths() -> frozenset[sp.Symbol]:
    """The lengths of all axes."""
    return frozenset(map(length, AXIS_ORDER))


@functools.lru_cache(maxsize=4096)
def derivative(expr: sp.Expr, index: int) -> sp.Expr:
    """The derivative of the expression of a Map by one of its arguments."""
    return sp.diff(expr, placeholder(index))


def input_tile(name: str, axes: Axes) -> Node:
    return Input(axes, (), (name,))


def state_tile(name: str, axes: Axes) -> Node:
    return State(axes, (), (name,))


def constant(value: sp.Expr | float, axes: Axes = ()) -> Node:
    return Map(axes, (), (sp.sympify(value),))


def is_constant(node: Node, value: object = None) -> bool:
    return isinstance(node, Map) and not node.args and (value is None or node.expr == value)


def entrywise(expr: sp.Expr, arguments: Mapping[str, Node], axes: Iterable[str] | None = None) -> Node:
    """The Map of `expr`, whose letters are bound to tiles by name; over `axes`, or over all axes of the arguments."""
    free = expr.free_symbols
    used = [name for name in sorted(arguments) if letter(name) in free]
    over = ordered(axes if axes is not None else (a for name in used for a in arguments[name].axes))
    args: list[Node] = []
    substitution: dict[sp.Basic, sp.Basic] = {}
    for name in used:
        node = arguments[name]
        while isinstance(node, Map) and node.expr == placeholder(0):  # a broadcast: its argument is broadcast here
            (node,) = node.args
        if isinstance(node, Map) and not node.args:
            substitution[letter(name)] = node.expr
            continue
        if node not in args:
            args.append(node)
        substitution[letter(name)] = placeholder(args.index(node))
    expr = expr.xreplace(substitution)
    free = expr.free_symbols
    kept = [i for i in range(len(args)) if placeholder(i) in free]
    unbound = free - {placeholder(i) for i in kept} - lengths()
    if unbound:
        raise InternalError(f"unbound letters {sorted(map(str, unbound))} in {expr}")
    if len(kept) < len(args):
        expr = expr.xreplace({placeholder(old): placeholder(new) for new, old in enumerate(kept)})
        args = [args[i] for i in kept]
    if len(args) == 1 and expr == placeholder(0) and args[0].axes == over:
        return args[0]
    return Map(over, tuple(args), (expr,))


def contract(a: Node, b: Node) -> Node:
    """Sum over the shared axes; the other axes of `a` come first, then those of `b`. Without a shared axis, the outer product."""
    a, b = _as_computed(a), _as_computed(b)
    shared = set(a.axes) & set(b.axes)
    if not shared:
        return entrywise(letter("a") * letter("b"), {"a": a, "b": b})
    axes = tuple(x for x in a.axes if x not in shared) + tuple(x for x in b.axes if x not in shared)
    if is_constant(a, 0) or is_constant(b, 0):
        return constant(0, axes)
    return Contract(axes, (a, b))


def _as_computed(node: Node) -> Node:
    """The tile behind a mere change of layout: contractions go by name."""
    while isinstance(node, Map) and node.expr == placeholder(0) and len(node.axes) == len(node.args[0].axes):
        (node,) = node.args
    return node


def rename(node: Node, old: str, new: str) -> Node:
    """The same tile with another axis name; leaves that lack the axis alone."""
    if old == new or old not in node.axes:
        return node
    axes = tuple(new if a == old else a for a in node.axes)
    if is_constant(node):
        return constant(node.expr, axes)  # type: ignore[attr-defined]
    if isinstance(node, Rename) and node.new == old:
        return rename(node.args[0], node.old, new)
    return Rename(axes, (node,), (old, new))


def total(node: Node, axis: str) -> Node:
    """Sum over one axis; a tile without the axis counts once for each of its entries."""
    if axis not in node.axes:
        return entrywise(letter("a") * length(axis), {"a": node})
    axes = tuple(a for a in node.axes if a != axis)
    if is_constant(node):
        return constant(node.expr * length(axis), axes)  # type: ignore[attr-defined]
    if isinstance(node, Map):
        factor, rest = node.expr.as_coeff_Mul()
        if factor != 1:  # Σ c x = c Σ x
            inside = entrywise(rest, {f"x{i}": arg for i, arg in enumerate(node.args)}, node.axes)
            return entrywise(factor * letter("s"), {"s": total(inside, axis)}, axes)
    return Reduce(axes, (node,), ("sum", axis))


def largest(node: Node, axis: str) -> Node:
    return Reduce(tuple(a for a in node.axes if a != axis), (node,), ("max", axis))


def cumulate(node: Node, axis: str, *, reverse: bool = False, exclusive: bool = False) -> Node:
    return node if is_constant(node, 0) else Cumulate(node.axes, (node,), (axis, reverse, exclusive))


def mask(node: Node, row: str, column: str, low: int) -> Node:
    return node if is_constant(node, 0) else Mask(node.axes, (node,), (row, column, low))


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


def times(a: Node, b: Node) -> Node:
    """The entrywise product, over all axes of both."""
    return entrywise(letter("a") * letter("b"), {"a": a, "b": b})


def add(*terms: Node) -> Node:
    """Sum of tiles over the same axes."""
    if len(terms) == 1:
        return terms[0]
    names = [f"t{i:04}" for i in range(len(terms))]  # in an order that sorting keeps
    return entrywise(reduce(lambda x, y: x + y, (letter(n) for n in names)), dict(zip(names, terms, strict=True)), terms[0].axes)


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
