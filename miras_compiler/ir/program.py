"""Programs: functions of tiles, and the names of their tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from miras_compiler.ir.nodes import Leaf, Node


@dataclass(frozen=True)
class Label:
    """The names of a tile: its name in code, its letters, the part of the program and the spec key that it comes from.

    An `automatic` name was given to a value that has none in the mathematics. `definition` is the name of the function that computes the
    tile from another, where that says more than the steps in between.
    """

    name: str
    letters: str
    section: str
    origin: str
    automatic: bool = False
    definition: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A function of tiles: named outputs over shared leaves, with labels for those tiles that have a name in the mathematics.

    `suggested` are labels that tiles get if they need one: a gradient is called after the tile that it is the gradient of.
    """

    name: str
    outputs: Mapping[str, Node]
    labels: Mapping[Node, Label] = field(default_factory=dict)
    suggested: Mapping[Node, Label] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Program({self.name} -> {', '.join(self.outputs)})"

    def label(self, node: Node) -> str:
        """The name of a tile in code: its label's, or the leaf's own; "" for a tile without a name."""
        if node in self.labels:
            return self.labels[node].name
        return node.name if isinstance(node, Leaf) else ""
