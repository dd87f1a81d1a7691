"""The equations of a program, under headings: a value is defined before it is used, and shown only if another shown one needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from miras_compiler.derive.dialects import UNICODE, Dialect
from miras_compiler.derive.notation import TileWriter
from miras_compiler.ir.nodes import ForwardSubstitute, Leaf, Node, Root
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.passes import run_passes


class Equation(NamedTuple):
    """`left` = `right` under a heading; `node` is the tile that it defines, or whose multiplier it determines."""

    title: str
    left: str
    right: str
    node: Node

    def text(self) -> str:
        return f"{self.left} = {self.right}"

    def latex(self) -> str:
        """As a row of an `aligned` block."""
        return f"{self.left} &= {self.right}"


def equations_of(program: Program, titles: Mapping[str, str], dialect: Dialect = UNICODE) -> list[Equation]:
    """Every value with a name whose section has a title, in the order of the titles, and within one heading in that of computation."""
    order = list(titles)
    needed: dict[Node, Equation] = {}
    queue = [
        node
        for node, label in program.labels.items()
        if label.section in titles and not label.automatic and not isinstance(node, Leaf)
    ]  # fmt: skip
    users: dict[Node, list[Node]] = {}
    while queue:
        node = queue.pop(0)
        if node in needed or isinstance(node, Leaf):
            continue
        writer = TileWriter(program, dialect)
        if isinstance(node, Root) and node not in program.labels:
            condition = writer.root_condition(node)
            left, _, right = condition.rpartition(" = ")
        else:
            left, right = writer.sides(node)
        needed[node] = Equation("", left, right, node)
        for other in writer.met:
            users.setdefault(other, []).append(node)
            queue.append(other)
    computed = {node: number for number, node in enumerate(nodes_of(program))}
    in_order = sorted(needed, key=computed.__getitem__)
    place = _places(program, order, in_order, users)
    ranked = sorted(in_order, key=place.__getitem__)  # stable: the order of computation stays
    found = [needed[node]._replace(title=titles[order[place[node]]]) for node in ranked]
    return [equation for equation in found if equation.right not in ("", equation.left)]


def _places(program: Program, order: list[str], needed: list[Node], users: Mapping[Node, list[Node]]) -> dict[Node, int]:
    """The heading of each value, given in the order of computation: its own, or an earlier one that uses it."""
    place: dict[Node, int] = {}
    for node in reversed(needed):
        label = program.labels.get(node)
        own = order.index(label.section) if label and label.section in order else len(order) - 1
        place[node] = min([own, *(place[user] for user in users.get(node, ()))])
    return place


def row_surprise(program: Program) -> Program | None:
    """The program of one row that a substitution runs, where there is one; its argument is called f, as in a memory."""
    phi = next((node.phi for node in nodes_of(program) if isinstance(node, ForwardSubstitute)), None)
    if phi is None:
        return None
    short = run_passes(phi)
    given = next(leaf for leaf in leaves_of(short) if leaf.name == "z")
    return Program(short.name, short.outputs, {given: Label("z", "f", "input", ""), **short.labels})


def block(rows: list[str]) -> str:
    """Rows as one LaTeX `aligned` block."""
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
