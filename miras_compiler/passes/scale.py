"""Factors of whole rows or columns are taken out of products, which then multiply the loaded tile and no scaled copy, and out of sums."""

from __future__ import annotations

import sympy as sp

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import contract, entrywise, placeholder, total
from miras_compiler.ir.nodes import Contract, Map, Node, Reduce
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import rewrite, use_counts


def pull_scalings(program: Program) -> Program:
    """The program with s · (a b) for every product (s · a) b whose s has no entry of its own for the axis that is summed over.

    And s Σ a for Σ (s · a) where nothing else reads s · a.
    """
    uses = use_counts(program)

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Reduce) and node.kind == "sum" and uses[node.args[0]] == 1 and node.args[0] not in program.labels:
            return _summed(args[0], node.axis)
        if not isinstance(node, Contract):
            return type(node)(node.axes, args, node.fields)
        shared = set(args[0].axes) & set(args[1].axes)
        parts = [_parted(arg, shared) for arg in args]
        if all(scale is None for scale, _ in parts):
            return Contract(node.axes, args)
        product = contract(parts[0][1], parts[1][1])
        scales = [scale for scale, _ in parts if scale is not None]
        names = {f"s{i}": scale for i, scale in enumerate(scales)}
        return entrywise(sp.Mul(letter("p"), *(letter(name) for name in names)), {"p": product, **names}, node.axes)

    return rewrite(program, rule)


def _factors(node: Map, axes: set[str]) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """The factors of an expression that have no entry of their own for any of the axes, and the others."""
    varying = {placeholder(i) for i, arg in enumerate(node.args) if axes & set(arg.axes)}
    inner, outer = sp.sift(sp.Mul.make_args(node.expr), lambda factor: bool(factor.free_symbols & varying), binary=True)
    return outer, inner


def _summed(node: Node, axis: str) -> Node:
    if not isinstance(node, Map):
        return total(node, axis)
    outer, inner = _factors(node, {axis})
    if not inner or not outer:
        return total(node, axis)
    names = {f"x{i}": arg for i, arg in enumerate(node.args)}
    summed = total(entrywise(sp.Mul(*inner), names), axis)
    return entrywise(sp.Mul(letter("s"), *outer), {"s": summed, **names}, tuple(a for a in node.axes if a != axis))


def _parted(node: Node, shared: set[str]) -> tuple[Node | None, Node]:
    """The factor that comes out, if any, and the rest."""
    if not isinstance(node, Map):
        return None, node
    outer, inner = _factors(node, shared)
    whole = [i for i, arg in enumerate(node.args) if set(arg.axes) == set(node.axes)]
    if not outer or len(inner) != 1 or inner[0] not in [placeholder(i) for i in whole]:
        return None, node
    names = {f"x{i}": arg for i, arg in enumerate(node.args)}
    scale = entrywise(sp.Mul(*outer), names)
    return scale, entrywise(inner[0], names, node.axes)
