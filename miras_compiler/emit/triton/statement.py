"""Statements, with the reads and the cost of each: collected while their code is printed, so that nothing has to search the code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Reading:
    """Variables that code reads, those among them that it widens to float32, and whether it multiplies matrices.

    `within` are the bytes of tiles that live while it runs.
    """

    names: set[str] = field(default_factory=set)
    widened: set[str] = field(default_factory=set)
    multiplies: bool = False
    within: int = 0

    def include(self, other: Reading) -> None:
        self.names |= other.names
        self.widened |= other.widened
        self.multiplies |= other.multiplies
        self.within = max(self.within, other.within)


@dataclass(frozen=True)
class Statement:
    """Lines of code that define `name`, a tile of so many bytes, or store something; the `section` is that of the tile.

    A call that gives several tiles defines those called `others`, too; the bytes are those of all. `within` are the bytes of tiles that
    live while it runs. Where it is `long`, as a substitution is, others keep out of its way.
    """

    text: tuple[str, ...]
    name: str = ""
    bytes: int = 0
    reads: frozenset[str] = frozenset()
    widens: frozenset[str] = frozenset()
    is_load: bool = False
    is_product: bool = False
    section: str = ""
    others: tuple[str, ...] = ()
    within: int = 0
    long: bool = False


def make_statement(reading: Reading, *text: str, name: str = "", size: int = 0, section: str = "") -> Statement:
    """A statement of code that was printed meanwhile."""
    reads, widens = frozenset(reading.names), frozenset(reading.widened)
    return Statement(text, name, size, reads, widens, is_product=reading.multiplies, section=section, within=reading.within)


class Recorder:
    """Records the reads of code while it is printed; code within code belongs to the innermost recording."""

    def __init__(self) -> None:
        self.stack = [Reading()]

    @contextmanager
    def recording(self) -> Iterator[Reading]:
        self.stack.append(Reading())
        yield self.stack[-1]
        self.stack.pop()

    @property
    def top(self) -> Reading:
        return self.stack[-1]
