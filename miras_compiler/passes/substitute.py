"""A part of a program: the tiles behind some outputs, with leaves in place of tiles from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import labels_in_use, topological


def substitute(program: Program, leaves: Mapping[Node, Node]) -> Program:
    """The program with leaves in place of tiles, and the labels that go with its tiles."""
    new: dict[Node, Node] = {}
    for node in topological(program.outputs.values(), leaves):
        if node in leaves:
            new[node] = leaves[node]
        else:
            new[node] = node if isinstance(node, Leaf) else type(node)(node.axes, tuple(new[arg] for arg in node.args), node.fields)
    outputs = {name: new[node] for name, node in program.outputs.items()}
    found = ({new[node]: label for node, label in each.items() if node in new} for each in (program.labels, program.suggested))
    labels, suggested = (labels_in_use(outputs, each) for each in found)
    return Program(program.name, outputs, labels, suggested)
