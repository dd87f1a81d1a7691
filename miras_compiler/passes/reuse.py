"""Reuse: the pullback of a product n = c r, where r is 1/‖c‖ or n has a name, is written with it: Σ (g c) r² c = Σ (g n) n."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import sympy as sp

from miras_compiler.expressions.symbols import letter, rsqrt
from miras_compiler.ir.build import entrywise, placeholder, total
from miras_compiler.ir.nodes import Map, Node, Reduce
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of, rewrite, use_counts


class Place(NamedTuple):
    """A term of a Map that has the factors Σ (g c), r² and c; `inside` is g c, `product` is c r."""

    node: Map
    term: sp.Expr
    summed: Reduce
    inside: Map
    c: Node
    r: Node
    product: Node


def reuse(program: Program) -> Program:
    """Reverse mode takes a row n = c r with r = 1/‖c‖ back to −Σ (g c) r³ c, which becomes −Σ (g n) r n.

    Where c is large and r small, g c is larger than all that comes of it, and the terms of its derivatives are larger still: more than a
    float32 holds. The entries of n are of order 1. It is a pass over programs that are printed as PyTorch, which autograd differentiates
    again.
    """
    while (place := next(_places(program), None)) is not None:
        program = _replaced(program, place.node, _reused(place))
    return program


def _replaced(program: Program, old: Node, new: Node) -> Program:
    return rewrite(program, lambda node, args: new if node is old else type(node)(node.axes, args, node.fields))


def _places(program: Program) -> Iterator[Place]:
    nodes, uses = nodes_of(program), use_counts(program)
    named = {frozenset(node.args): node for node in nodes if node in program.labels and _is_product(node)}
    for node in (each for each in nodes if isinstance(each, Map)):
        for term in sp.Add.make_args(node.expr):
            powers = _powers(node, term)
            sums = [each for each in powers if isinstance(each, Reduce) and each.kind == "sum" and uses[each] == 1]
            for summed, r in itertools.product(sums, (each for each, power in powers.items() if power > 1)):
                (inside,) = summed.args
                for c in (each for each in _powers(inside) if each in powers):
                    product = named.get(frozenset((c, r)), _normalized(c, r))
                    if product is not None and isinstance(inside, Map):
                        yield Place(node, term, summed, inside, c, r, product)


def _is_product(node: Node) -> bool:
    return len(node.args) == 2 and _powers(node) == dict.fromkeys(node.args, 1)


def _normalized(c: Node, r: Node) -> Node | None:
    """c r, where r is the inverse of a length."""
    is_inverse = isinstance(r, Map) and isinstance(r.expr, rsqrt) and set(r.axes) < set(c.axes)
    return entrywise(letter("c") * letter("r"), {"c": c, "r": r}, c.axes) if is_inverse else None


def _powers(node: Node, term: sp.Expr | None = None) -> dict[Node, int]:
    """The tiles by which a Map, or one term of it, is multiplied, and how often."""
    if not isinstance(node, Map):
        return {}
    powers = (node.expr if term is None else term).as_powers_dict()
    return {arg: powers[placeholder(i)] for i, arg in enumerate(node.args) if powers.get(placeholder(i), sp.Integer(0)) >= 1}


def _reused(place: Place) -> Node:
    node, inside, n = place.node, place.inside, letter("n")
    below = entrywise(inside.expr / _letter(inside, place.c) * n, _bound(inside, n=place.product), inside.axes)
    c, r, summed = (_letter(node, each) for each in (place.c, place.r, place.summed))
    term = place.term / (summed * r**2 * c) * letter("s") * n
    return entrywise(node.expr - place.term + term, _bound(node, n=place.product, s=total(below, place.summed.axis)), node.axes)


def _letter(node: Map, arg: Node) -> sp.Symbol:
    """The expression that stands for an argument in the expression of a Map."""
    return placeholder(node.args.index(arg))


def _bound(node: Map, **more: Node) -> dict[str, Node]:
    return {f"x{i}": arg for i, arg in enumerate(node.args)} | more
