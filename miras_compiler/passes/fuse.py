"""Fuse: a Map that only one other Map reads is written into it."""

from __future__ import annotations

import sympy as sp

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import entrywise, ordered, placeholder
from miras_compiler.ir.nodes import Map, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import rewrite, use_counts


def fuse(program: Program) -> Program:
    """Values with a label stay, and so do values that would be computed more often than before."""
    uses = use_counts(program)
    single = {node for node, count in uses.items() if count == 1 and node not in program.labels}
    fusible: dict[Node, bool] = {}  # by rewritten tile

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Map) and node.axes == ordered(node.axes):  # a mere change of layout stays
            new = _fused(node, args, fusible)
        else:
            new = type(node)(node.axes, args, node.fields)
        fusible[new] = node in single
        return new

    return rewrite(program, rule)


def _fused(node: Map, args: tuple[Node, ...], fusible: dict[Node, bool]) -> Node:
    substitution: dict[sp.Basic, sp.Basic] = {}
    tiles: dict[str, Node] = {}
    for index, arg in enumerate(args):
        if isinstance(arg, Map) and fusible.get(arg, False) and (arg.axes == node.axes or (len(arg.axes) < 2 and _is_monomial(arg.expr))):
            inner = {placeholder(i): letter(f"t{index:04}_{i:04}") for i in range(len(arg.args))}
            substitution[placeholder(index)] = arg.expr.xreplace(inner)
            tiles |= {f"t{index:04}_{i:04}": inner_arg for i, inner_arg in enumerate(arg.args)}
        else:
            substitution[placeholder(index)] = letter(f"t{index:04}")
            tiles[f"t{index:04}"] = arg
    return entrywise(node.expr.xreplace(substitution), tiles, node.axes)


def _is_monomial(expr: sp.Expr) -> bool:
    """A product of whole powers: cheap enough to be computed where it is broadcast."""
    factors = sp.Mul.make_args(expr)
    return all(f.is_number or f.is_Symbol or (f.is_Pow and f.exp.is_Integer and f.base.is_Symbol) for f in factors)
