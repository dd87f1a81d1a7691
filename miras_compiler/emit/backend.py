"""The protocol of a backend: a function that prints some of a package's files from the values of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import networkx as nx

from miras_compiler.analysis import CostLine, ParallelForm
from miras_compiler.derive import UpdateRule
from miras_compiler.derive.parts import Frame
from miras_compiler.emit.interface import Interface
from miras_compiler.ir.program import Program
from miras_compiler.schedule import Schedule
from miras_compiler.schedule.walk import Walk


@dataclass(frozen=True)
class Derived:
    """A rule, the interface of its operators, its parallel form, and the program of a tile."""

    rule: UpdateRule
    interface: Interface
    form: ParallelForm
    program: Program

    @property
    def frame(self) -> Frame:
        return self.rule.frame


@dataclass(frozen=True)
class Scheduled(Derived):
    """The same with its graph, its cost and its kernels.

    `schedule` is that over tiles of tokens; `why_no_tiles` says why there is none, or ""; `starts` is that of the states of chunks alone.
    """

    graph: nx.MultiDiGraph[str]
    schedule: Schedule | None
    starts: Schedule | None
    walk: Walk
    cost: Sequence[CostLine]
    why_no_tiles: str


Given = TypeVar("Given", bound=Derived, contravariant=True)


class Backend(Protocol[Given]):
    """Prints files of its own: text by path inside the package. A `Backend[Derived]` needs no kernels, and takes little time."""

    def __call__(self, given: Given, /) -> Mapping[str, str]: ...
