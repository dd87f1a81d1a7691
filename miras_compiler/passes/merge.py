"""Sums of sums over one axis as one sum, and nested sums with the hidden axis outermost: each reduction moves data between threads."""

from __future__ import annotations

import sympy as sp

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import add, entrywise, placeholder, total
from miras_compiler.ir.nodes import Map, Node, Reduce
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import rewrite, use_counts


def merge_reductions(program: Program) -> Program:
    """The program with Σ a + Σ b as Σ (a + b) where nothing else reads the two, and Σ_v Σ_n as Σ_n Σ_v."""
    uses = use_counts(program)
    single: dict[Node, bool] = {}  # by rewritten tile

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Map):
            new = _merged(node, args, single)
        elif isinstance(node, Reduce) and node.kind == "sum":
            new = _hidden_last(node, args[0], single)
        else:
            new = type(node)(node.axes, args, node.fields)
        single[new] = uses[node] == 1 and node not in program.labels
        return new

    return rewrite(program, rule)


def _hidden_last(node: Reduce, inside: Node, single: dict[Node, bool]) -> Node:
    if isinstance(inside, Reduce) and inside.kind == "sum" and inside.axis.startswith("n") and single.get(inside, False):
        return total(total(inside.args[0], node.axis), inside.axis)
    return Reduce(node.axes, (inside,), node.fields)


def _merged(node: Map, args: tuple[Node, ...], single: dict[Node, bool]) -> Node:
    """A Map whose terms that are sums over the same axis are summed together."""
    terms = sp.Add.make_args(node.expr)
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[sp.Expr, Reduce]]] = {}
    rest: list[sp.Expr] = []
    for term in terms:
        factor, x = term.as_coeff_Mul()
        arg = next((arg for i, arg in enumerate(args) if x == placeholder(i)), None)
        alone = sum(x in other.free_symbols for other in terms) == 1
        if node.axes and isinstance(arg, Reduce) and arg.kind == "sum" and single.get(arg, False) and alone and arg.axes == node.axes:
            groups.setdefault((arg.axis, arg.args[0].axes), []).append((factor, arg))
        else:
            rest.append(term)
    if not any(len(group) > 1 for group in groups.values()):
        return Map(node.axes, args, node.fields)
    names = {f"x{i}": arg for i, arg in enumerate(args)}
    sums = []
    for (axis, axes), group in groups.items():
        inside = [entrywise(factor * letter("a"), {"a": each.args[0]}, axes) for factor, each in group]
        sums.append(total(entrywise_sum(inside), axis))
    return add(*([entrywise(sp.Add(*rest), names, node.axes)] if rest else []), *sums)


def entrywise_sum(tiles: list[Node]) -> Node:
    """The sum of tiles as one Map of their arguments."""
    names: dict[str, Node] = {}
    terms = []
    for index, tile in enumerate(tiles):
        if isinstance(tile, Map):
            inner = {placeholder(i): letter(f"t{index:04}_{i:04}") for i in range(len(tile.args))}
            terms.append(tile.expr.xreplace(inner))
            names |= {inner[placeholder(i)].name: arg for i, arg in enumerate(tile.args)}
        else:
            terms.append(letter(f"t{index:04}"))
            names[f"t{index:04}"] = tile
    return entrywise(sp.Add(*terms), names, tiles[0].axes)
