"""A part of a program: the tiles behind some outputs, with leaves in place of what comes from elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from miras_compiler.ir.nodes import Label, Leaf, Node


def substitute(
    outputs: Mapping[str, Node], leaves: Mapping[Node, Node], labels: Mapping[Node, Label]
) -> tuple[dict[str, Node], dict[Node, Label]]:
    """The outputs with leaves in place of tiles, and the labels that go with them."""
    new: dict[Node, Node] = {}
    for node in needed_tiles(outputs.values(), leaves):
        if node in leaves:
            new[node] = leaves[node]
        else:
            new[node] = node if isinstance(node, Leaf) else type(node)(node.axes, tuple(new[arg] for arg in node.args), node.fields)
    return {name: new[node] for name, node in outputs.items()}, {new[node]: label for node, label in labels.items() if node in new}


def needed_tiles(roots: Iterable[Node], stops: Collection[Node]) -> list[Node]:
    """The tiles under the roots, not looking behind the stops, arguments first."""
    order: dict[Node, None] = {}
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if node in order:
            continue
        if expanded or node in stops:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))
    return list(order)
