"""A part of a program: the tiles behind some outputs, with leaves in place of what comes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.ir.nodes import Label, Leaf, Node
from miras_compiler.ir.traverse import topological


def substitute(
    outputs: Mapping[str, Node], leaves: Mapping[Node, Node], labels: Mapping[Node, Label]
) -> tuple[dict[str, Node], dict[Node, Label]]:
    """The outputs with leaves in place of tiles, and the labels that go with them."""
    new: dict[Node, Node] = {}
    for node in topological(outputs.values(), leaves):
        if node in leaves:
            new[node] = leaves[node]
        else:
            new[node] = node if isinstance(node, Leaf) else type(node)(node.axes, tuple(new[arg] for arg in node.args), node.fields)
    return {name: new[node] for name, node in outputs.items()}, {new[node]: label for node, label in labels.items() if node in new}
