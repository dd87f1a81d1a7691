"""A fault of a spec before it has a place: the path of the key that it is about, and what to say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from miras_compiler.errors import Problem, SpecError
from miras_compiler.spec.source import Path, Source


class Fault(NamedTuple):
    path: Path
    what: str
    why: str = ""
    remedy: str = ""


def spec_error(faults: Iterable[Fault], source: Source | None) -> SpecError:
    """All faults as one error: in the order of the file, or under their dotted keys for a spec built in Python."""
    if source is None:
        return SpecError(Problem(".".join(map(str, fault.path)), *fault[1:]) for fault in faults)
    placed = [(source.mark(fault.path), fault) for fault in faults]
    placed.sort(key=lambda pair: (pair[0].line, pair[0].column))
    return SpecError(Problem(str(mark), *fault[1:]) for mark, fault in placed)
