"""The tiles that cross from one kernel to another: a name for each, the same in both directions."""

from __future__ import annotations

from miras_compiler.ir.nodes import Label, Node, Program
from miras_compiler.ir.traverse import leaves_of

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Buffers:
    """`names` in the order in which tiles were added; a tile without a label gets one, s1, s2, …"""

    def __init__(self, *programs: Program) -> None:
        self.taken = {name for program in programs for name in (*(leaf.name for leaf in leaves_of(program)), *program.outputs)}
        self.names: dict[Node, str] = {}
        self.given: dict[Node, Label] = {}

    def copy(self) -> Buffers:
        """The same, for trying out."""
        other = Buffers()
        other.taken, other.names, other.given = set(self.taken), dict(self.names), dict(self.given)
        return other

    def add(self, node: Node, program: Program) -> None:
        if node in self.names:
            return
        label = program.labels.get(node)
        number = 1
        name = label.name if label else "s1"
        while name in self.taken:
            number += 1
            name = f"{label.name}_{number}" if label else f"s{number}"
        self.taken.add(name)
        self.names[node] = name
        letters = label.letters if label else name.translate(SUBSCRIPTS)
        self.given[node] = Label(name, letters, label.section if label else "", label.origin if label else "")

    def labels(self, program: Program) -> dict[Node, Label]:
        """The labels of a program, with the buffers under their own names."""
        names = {label.name for label in self.given.values()}
        kept = {node: label for node, label in program.labels.items() if node not in self.given and label.name not in names}
        return kept | self.given
