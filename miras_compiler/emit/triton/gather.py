"""Gather: of a sum of tiles, the terms that loops over blocks have summed up become one tile, before products are added to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import sympy as sp

from miras_compiler.emit.triton.stages import is_sum_over
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import entrywise, placeholder, rename
from miras_compiler.ir.nodes import Map, Node, Rename
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import nodes_of, rewrite, use_counts
from miras_compiler.ir.words import Words


def gather_sums(program: Program, axis: str) -> Program:
    """The program with one tile in place of several that stand in a sum and that were summed up over the axis.

    They take registers until the last of them is read. A sum that is added to them in one go frees all but one.
    """
    uses, words = use_counts(program), Words(program)
    single = {node for node in nodes_of(program) if uses[node] == 1 and node not in program.labels}
    labels: dict[Node, Label] = {}
    within: set[Node] = set()  # sums of rewritten tiles that nothing else reads

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        new = _gathered(Map(node.axes, args, node.fields)) if isinstance(node, Map) else type(node)(node.axes, args, node.fields)
        if node in single:
            within.add(new)
        return new

    def _gathered(node: Map) -> Node:
        terms = _terms(node, within)
        summed = [each for each in terms if any(is_sum_over(axis, behind(arg)) for arg in each.args)]
        if len(node.axes) < 2 or len(summed) < 2 or len(summed) == len(terms):
            return node
        gathered = _added(summed, node)
        label = words.of(node) or Label("x", "x", "", "")
        labels[gathered] = Label(f"{label.name}_summed", f"{label.letters}(summed)", "", "", automatic=True)
        return _added([Map(node.axes, (gathered,), (placeholder(0),)), *(each for each in terms if each not in summed)], node)

    new = rewrite(program, rule)
    return replace(new, labels=labels | dict(new.labels))


def behind(node: Node) -> Node:
    """The tile that renamings show."""
    return behind(node.args[0]) if isinstance(node, Rename) else node


def _terms(node: Map, within: Collection[Node]) -> list[Map]:
    """The terms of a sum, and in place of a sum `within` it, that one's own."""
    found: list[Map] = []
    for term in sp.Add.make_args(node.expr):
        inner = next((_as_sum(arg, within) for i, arg in enumerate(node.args) if term == placeholder(i)), None)
        if inner is not None and inner.axes == node.axes:
            found += _terms(inner, within)
        else:
            made = entrywise(term, {f"x{i}": arg for i, arg in enumerate(node.args)}, node.axes)
            found.append(made if isinstance(made, Map) else Map(made.axes, (made,), (placeholder(0),)))
    return found


def _as_sum(node: Node, within: Collection[Node]) -> Map | None:
    """A tile as the Map that it is, if nothing else reads it; that of a renaming with its arguments renamed."""
    if isinstance(node, Rename) and node in within and isinstance(inner := _as_sum(node.args[0], within), Map):
        args = {f"x{i}": rename(arg, node.old, node.new) if node.old in arg.axes else arg for i, arg in enumerate(inner.args)}
        made = entrywise(inner.expr, args, node.axes)
        return made if isinstance(made, Map) else None
    return node if isinstance(node, Map) and node in within else None


def _added(tiles: list[Map], like: Map) -> Node:
    """The sum of tiles, in their order, as one Map."""
    names: dict[str, Node] = {}
    terms: list[sp.Expr] = []
    for index, tile in enumerate(tiles):
        terms.append(tile.expr.xreplace({placeholder(i): letter(f"t{index:04}_{i:04}") for i in range(len(tile.args))}))
        names |= {f"t{index:04}_{i:04}": arg for i, arg in enumerate(tile.args)}
    return entrywise(sp.Add(*terms), names, like.axes)
