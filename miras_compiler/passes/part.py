"""Sums in two parts: terms that do not depend on the carried tiles are summed up before the walk, so that little of them has to be kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import sympy as sp

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import add, cumulate, entrywise, mask, placeholder, rename, total
from miras_compiler.ir.nodes import Contract, Cumulate, Decayed, Map, Mask, Node, Reduce, Rename
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import carried_leaves, topological
from miras_compiler.ir.words import part
from miras_compiler.passes.enter import START

Parts = tuple[Node, Node]


def part_sums(program: Program) -> Program:
    """The program with every output but the carried tiles as two sums, where products that depend on nothing carried are among them."""
    carried = carried_leaves(program)
    splitter = _Splitter(carried)
    names = {name for leaf in carried for name in (leaf.name, leaf.name + START)}
    split = {name: pair for name, node in program.outputs.items() if name not in names and (pair := splitter.parts(node))}
    suggested = dict(program.suggested)
    for name, (early, late) in split.items():
        whole = Label(name, name, "", "")
        suggested = {early: part(whole, "early"), late: part(whole, "late")} | suggested
    return replace(program, outputs=dict(program.outputs) | {name: add(*pair) for name, pair in split.items()}, suggested=suggested)


class _Splitter:
    """Splits tiles that are linear in values that depend on the `carried` tiles."""

    def __init__(self, carried: Collection[Node]) -> None:
        self.carried = set(carried)
        self.known: dict[Node, Parts | None] = {}
        self.late: dict[Node, bool] = {}

    def is_late(self, node: Node) -> bool:
        if node not in self.late:
            for each in topological([node]):
                self.late[each] = each in self.carried or any(self.late[arg] for arg in each.args)
        return self.late[node]

    def parts(self, node: Node) -> Parts | None:
        """The early and the late part of a late tile; None where it is no such sum, or the early part holds no product."""
        if node not in self.known:
            self.known[node] = self._parts(node)
        return self.known[node]

    def _parts(self, node: Node) -> Parts | None:
        match node:
            case Map():
                return self._sum(node)
            case Reduce(args=(inside,)) if node.kind == "sum" and (parts := self.parts(inside)):
                return total(parts[0], node.axis), total(parts[1], node.axis)
            case Cumulate(args=(inside,)) if parts := self.parts(inside):
                early, late = (cumulate(part, node.axis, reverse=node.reverse, exclusive=node.exclusive) for part in parts)
                return early, late
            case Mask(args=(inside,)) if parts := self.parts(inside):
                return mask(parts[0], node.row, node.column, node.low), mask(parts[1], node.row, node.column, node.low)
            case Rename(args=(inside,)) if parts := self.parts(inside):
                return rename(parts[0], node.old, node.new), rename(parts[1], node.old, node.new)
        return None

    def _sum(self, node: Map) -> Parts | None:
        late = {placeholder(i): arg for i, arg in enumerate(node.args) if self.is_late(arg)}
        slopes = {x: sp.diff(node.expr, x) for x in late}
        if not late or any(slope.free_symbols & late.keys() for slope in slopes.values()):
            return None
        names = {f"x{i}": arg for i, arg in enumerate(node.args)}
        split = {x: parts for x, arg in late.items() if (parts := self.parts(arg))}
        renamed = {x: letter(f"early_{x.name}") for x in split}
        early = entrywise(
            node.expr.xreplace({x: renamed.get(x, sp.Integer(0)) for x in late}),
            names | {renamed[x].name: parts[0] for x, parts in split.items()},
            node.axes,
        )
        if not any(isinstance(each, Contract | Decayed) for each in topological([early])):
            return None
        rest = sp.Add(*(slope * sp.Add(*(x for x in late if slopes[x] == slope)) for slope in dict.fromkeys(slopes.values())))
        return early, entrywise(rest, names | {x.name: parts[1] for x, parts in split.items()}, node.axes)
