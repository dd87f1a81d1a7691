"""The tiles that cross from one kernel to another: a name for each, the same in both directions."""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.ir.nodes import Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.ir.words import Words

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Buffers:
    """`names` in the order in which tiles were added; a tile without a label gets one, of words or, where they are long, s1, s2, …"""

    def __init__(self, *programs: Program) -> None:
        self.taken = {name for program in programs for name in (*(leaf.name for leaf in leaves_of(program)), *program.outputs)}
        self.called = {label.name for program in programs for label in program.labels.values()}
        self.names: dict[Node, str] = {}
        self.given: dict[Node, Label] = {}

    def copy(self) -> Buffers:
        """The same, for trying out."""
        other = Buffers()
        other.called = self.called
        other.taken, other.names, other.given = set(self.taken), dict(self.names), dict(self.given)
        return other

    def add(self, node: Node, program: Program) -> None:
        if node in self.names:
            return
        own = program.labels.get(node)
        label = own or Words(program).of(node)
        taken = self.taken if own else self.taken | self.called
        name = label.name if label else "s1"
        number = 1
        while name in taken:
            number += 1
            name = f"{label.name}_{number}" if label else f"s{number}"
        self.taken.add(name)
        self.names[node] = name
        label = label or Label(name, name.translate(SUBSCRIPTS), "", "")
        self.given[node] = replace(label, name=name, automatic=own is None or own.automatic)

    def labels(self, program: Program) -> dict[Node, Label]:
        """The labels of a program, with the buffers under their own names."""
        names = {label.name for label in self.given.values()}
        kept = {node: label for node, label in program.labels.items() if node not in self.given and label.name not in names}
        return kept | self.given
