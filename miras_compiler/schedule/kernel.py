"""A schedule: programs, each with the way in which one GPU kernel runs it over the tiles of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from miras_compiler.ir.nodes import Start
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of

Walk = Literal["forward", "reverse", "each"]
"""Tiles one after another, from the last to the first, or all at once."""

Role = Literal["token", "parameter", "carried", "held", "saved", "mask"]
"""Where a leaf comes from: rows of a token tensor; a row per head; the tile before; a state that no tile changes; a buffer with one tile
per tile of tokens; a test of the numbers of tokens, such as whether one is there."""

Result = Literal["token", "carried", "start", "saved", "past", "total"]
"""Where an output goes: rows of a token tensor; the next tile, and out at the end; into the carried tile of that name less _start, or in a
chunk that goes on a tile per sequence; a buffer; a tile for every tile of tokens, of those before it; a sum over the tiles."""


@dataclass(frozen=True, repr=False)
class Kernel:
    """One kernel: every leaf of the program has a role, every output a result.

    `entries` names the buffer in which a carried tile is saved as each tile of tokens finds it. `last` are carried states whose value
    before the last tile is an output of its own (in reverse mode: receives a gradient of its own). `narrow` are the buffers in the type
    of the tokens, `inverses` those that hold the inverse of a triangle, `own` those of the reverse mode, which holds them for a part of the
    tiles at a time. Where a token has the `window` rows of its window, they are the rows of tiles.
    `wide` is the axis of features that are many more than the channels of a key; "" for none.
    """

    name: str
    walk: Walk
    program: Program
    roles: Mapping[str, Role]
    results: Mapping[str, Result]
    entries: Mapping[str, str] = field(default_factory=dict)
    last: tuple[str, ...] = ()
    narrow: frozenset[str] = frozenset()
    inverses: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    window: int = 1
    wide: str = ""

    def __repr__(self) -> str:
        return f"Kernel({self.name}: {self.walk})"

    @property
    def starts(self) -> tuple[str, ...]:
        """The states that entered the chunk, where a chunk that goes on has others than the carried ones."""
        return tuple(dict.fromkeys(node.name for node in starts_of(self.program)))

    def leaves(self, *roles: Role) -> tuple[str, ...]:
        return tuple(name for name, role in self.roles.items() if role in roles)

    def outputs(self, *results: Result) -> tuple[str, ...]:
        return tuple(name for name, result in self.results.items() if result in results)


@dataclass(frozen=True, repr=False)
class Schedule:
    """The kernels of one pass over a sequence and of its reverse mode, in the order in which they run; `reason` says why these."""

    forward: tuple[Kernel, ...]
    backward: tuple[Kernel, ...]
    reason: str

    def __repr__(self) -> str:
        names = (", ".join(kernel.name for kernel in kernels) for kernels in (self.forward, self.backward))
        return f"Schedule(forward: {next(names)}; backward: {next(names)})"

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return (*self.forward, *self.backward)


def starts_of(program: Program) -> list[Start]:
    """The tiles that differ in a chunk that goes on."""
    return [node for node in nodes_of(program) if isinstance(node, Start)]
