"""Build tiles, simplified: constants fold into expressions, unused and repeated arguments go, neutral operations vanish."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from functools import reduce

import sympy as sp

from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.nodes import (
    AXIS_ORDER,
    Axes,
    Contract,
    Cumulate,
    Input,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    State,
)

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


def times(a: Node, b: Node) -> Node:
    """The entrywise product, over all axes of both."""
    return entrywise(letter("a") * letter("b"), {"a": a, "b": b})


def add(*terms: Node) -> Node:
    """Sum of tiles over the same axes."""
    if len(terms) == 1:
        return terms[0]
    names = [f"t{i:04}" for i in range(len(terms))]  # in an order that sorting keeps
    return entrywise(reduce(lambda x, y: x + y, (letter(n) for n in names)), dict(zip(names, terms, strict=True)), terms[0].axes)
