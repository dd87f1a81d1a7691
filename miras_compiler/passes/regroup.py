"""Regroup: Σ_v a (b c) becomes Σ_k b (a cᵀ) where a kernel has the product a cᵀ anyway, and then has no need of b c."""

from __future__ import annotations

from collections.abc import Collection

import sympy as sp

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import entrywise, placeholder, total
from miras_compiler.ir.nodes import Contract, Map, Node, Reduce
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of, rewrite, use_counts


def regroup_sums(program: Program, exact: Collection[Node]) -> Program:
    """The program with a product less for every such sum of one row, whose a and c are `exact`: operands that products do not round.

    The gradient of a factor β of the rows of q W, and of one that decays W, has such a sum beside the gradient of q.
    """
    uses = use_counts(program)
    products = {frozenset(node.args): node for node in nodes_of(program) if isinstance(node, Contract)}

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        found = _found(node, products, uses, exact)
        if found is None:
            return type(node)(node.axes, args, node.fields)
        factor, b, product = found
        (axis,) = set(b.axes) - set(node.axes)
        return entrywise(factor * letter("s"), {"s": total(entrywise(letter("a") * letter("b"), {"a": b, "b": product}), axis)})

    return rewrite(program, rule)


Found = tuple[sp.Expr, Node, Node]


def _found(node: Node, products: dict[frozenset[Node], Contract], uses: dict[Node, int], exact: Collection[Node]) -> Found | None:
    """A number, b and a cᵀ where the tile is the number times Σ_v a (b c)."""
    if not isinstance(node, Reduce) or node.kind != "sum" or not isinstance(node.args[0], Map) or len(node.args[0].args) != 2:
        return None
    inside = node.args[0]
    factor, rest = inside.expr.as_coeff_Mul()
    if rest != placeholder(0) * placeholder(1):
        return None
    for a, scaled in (inside.args, inside.args[::-1]):
        number, single = _unscaled(scaled, uses)
        if not isinstance(single, Contract) or uses[single] > 1 or a not in exact:
            continue
        for b, c in (single.args, single.args[::-1]):
            product = products.get(frozenset((a, c)))
            if c in exact and product is not None and node.axis in c.axes and set(product.axes) == set(b.axes):
                return factor * number, b, product
    return None


def _unscaled(node: Node, uses: dict[Node, int]) -> tuple[sp.Expr, Node]:
    """A number and the tile that it multiplies, where nothing else reads their product."""
    if isinstance(node, Map) and len(node.args) == 1 and uses[node] == 1:
        number, rest = node.expr.as_coeff_Mul()
        if rest == placeholder(0):
            return number, node.args[0]
    return sp.Integer(1), node
