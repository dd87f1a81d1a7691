"""A chunk of tokens in a rule: the state at which surprises are taken, the state that is read, and the events on its borders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from miras_compiler.derive.parts.entry import Entry, per_weight
from miras_compiler.derive.parts.gates import RuleGate
from miras_compiler.ir.build import constant, state_tile
from miras_compiler.ir.nodes import Node
from miras_compiler.ir.program import Program
from miras_compiler.spec import Spec

START, INITIAL = "_start", "_initial"


class ChunkRule(NamedTuple):
    """`size` are the tokens whose surprises are taken at one state, 1 where each is taken at the state that its token finds.

    `read` is the state that a query reads; `linear`: inside a chunk, on the linear path from ψ of the state that entered it. `stated` are
    the keys and values of the spec that say so.
    """

    size: int
    read: Literal["after_write", "before_write", "chunk_start"]
    linear: bool
    reset: int  # tokens after which the state is the initial one again; 0: never
    entries: tuple[Entry, ...]
    stated: Mapping[str, object]

    @property
    def has_grid(self) -> bool:
        """True if all surprises of a chunk are taken at the state that enters it."""
        return self.size > 1

    @property
    def path(self) -> bool:
        """True if the state holds the decay since the chunk's start, for reads on a linear path."""
        return self.linear and self.has_grid

    @property
    def remarks(self) -> list[str]:
        """Sentences on the grid of chunks, where the equations do not say it."""
        if not self.reset:
            return []
        return [
            f"before the first token of a sequence, and of every {self.reset} behind it, the state is the initial one, without momentum"
        ]

    def enter(self) -> Program | None:
        """A chunk begins: its surprises are taken at the state as it is; None where there is no grid."""
        carried = [entry for entry in self.entries if entry.goes == "by token"]
        outputs: dict[str, Node] = {each.name: state_tile(each.of, each.tile) if each.of else constant(0, each.tile) for each in carried}
        return Program("enter", outputs) if outputs else None

    def begin(self, carried: Iterable[Entry]) -> Program | None:
        """Begins the memory anew: the weights are the initial ones, all other carried values are 0; None where none does."""
        initial = {entry.of: state_tile(entry.name, entry.tile) for entry in self.entries if entry.name.endswith(INITIAL)}
        outputs: dict[str, Node] = {each.name: initial.get(each.of or each.name, constant(0, each.tile)) for each in carried}
        return Program("begin", outputs) if initial else None

    def events(self, carried: Iterable[Entry]) -> list[tuple[int, Program]]:
        """The changes of the state before every so many tokens, in this order."""
        found = ((self.reset, self.begin(carried)), (self.size, self.enter()))
        return [(every, program) for every, program in found if program is not None]


def chunk_of(spec: Spec, gates: Mapping[str, RuleGate]) -> ChunkRule:
    """The chunks of a spec with these gates."""
    entries: list[Entry] = []
    if spec.has_grid:
        entries += per_weight(spec, START, copies=True)
    if spec.has_grid or spec.chunk.reset:
        entries.append(Entry("position", "B", goes="by call", integer=True))
    if spec.has_grid and spec.linear_reads:
        entries.append(Entry("log_beta", f"BH{gates['alpha'].channel}", gates["alpha"].axes))
    if spec.chunk.reset:
        entries += per_weight(spec, INITIAL, goes="by call", copies=True)
    size = spec.chunk.size if spec.has_grid else 1
    stated = spec.chunk.model_dump(mode="json")
    return ChunkRule(size, spec.chunk.read, spec.linear_reads, spec.chunk.reset or 0, tuple(entries), stated)
