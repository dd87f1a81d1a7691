"""What a chunk of tokens means in a rule: where surprises are taken, what is read, and what happens on its borders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from miras_compiler.derive.parts.entry import Entry, per_weight
from miras_compiler.derive.parts.gates import RuleGate
from miras_compiler.ir.build import constant, state_tile
from miras_compiler.ir.nodes import Node, Program
from miras_compiler.spec import Spec

START = "_start"


class Chunk(NamedTuple):
    """`size` are the tokens whose surprises are taken at one state, 1 where each is taken at the state that its token finds.

    `read` is the state that a query reads; `linear`: inside a chunk, on the linear path from ψ of the state that entered it.
    """

    size: int
    read: Literal["after_write", "before_write", "chunk_start"]
    linear: bool
    entries: tuple[Entry, ...]

    @property
    def frozen(self) -> bool:
        """Whether all surprises of a chunk are taken at the state that enters it."""
        return self.size > 1

    @property
    def path(self) -> bool:
        """Whether the state holds the decay since the chunk's start, for reads on a linear path."""
        return self.linear and self.frozen

    @property
    def remarks(self) -> list[str]:
        """Sentences on the grid of chunks, where the equations do not say it."""
        return []

    def enter(self) -> Program | None:
        """A chunk begins: its surprises are taken at the state as it is; None where there is no grid."""
        carried = [entry for entry in self.entries if entry.goes == "by token"]
        outputs: dict[str, Node] = {each.name: state_tile(each.of, each.tile) if each.of else constant(0, each.tile) for each in carried}
        return Program("enter", outputs) if outputs else None

    def events(self) -> list[tuple[int, Program]]:
        """What happens to the state before every so many tokens, in this order."""
        enter = self.enter()
        return [(self.size, enter)] if enter else []


def chunk_of(spec: Spec, gates: Mapping[str, RuleGate]) -> Chunk:
    """The chunks of a spec with these gates."""
    entries: list[Entry] = []
    if spec.frozen_gradient:
        entries = [*per_weight(spec, START, copies=True), Entry("position", "B", goes="by call", integer=True)]
        if spec.linear_reads:
            entries.append(Entry("log_beta", f"BH{gates['alpha'].channel}", gates["alpha"].axes))
    return Chunk(spec.chunk.size if spec.frozen_gradient else 1, spec.chunk.read, spec.linear_reads, tuple(entries))
