"""A program as text, one tile a line: for people, and for messages about our own bugs."""

from __future__ import annotations

from miras_compiler.ir.nodes import Contract, Leaf, Map, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of


def show(program: Program) -> str:
    """ "%7 d1[c, n] = Map(x0*gelu_slope(x1)) %5 %2", outputs last."""
    number = {node: f"%{index}" for index, node in enumerate(nodes_of(program))}
    lines = [f"{program.name}:"]
    for node, place in number.items():
        name = program.label(node)
        lines.append(
            f"  {place} {name}{'' if not node.axes else list(node.axes)} = {_operation(node)} {' '.join(number[a] for a in node.args)}"
        )
    lines += [f"  {name} -> {number[node]}" for name, node in program.outputs.items()]
    return "\n".join(line.rstrip().replace("'", "") for line in lines)


def _operation(node: Node) -> str:
    if isinstance(node, Map):
        return f"Map({node.expr})"
    if isinstance(node, Contract):
        return f"Contract({', '.join(node.over)})"
    fields = ", ".join(map(str, node.fields))
    return f"{type(node).__name__}({fields})" if not isinstance(node, Leaf) else type(node).__name__
