"""Faults of a spec under the places where they stand."""

from __future__ import annotations

from collections.abc import Iterable

from miras_compiler.errors import Fault, Problem, SpecError
from miras_compiler.spec.source import Source


def spec_error(faults: Iterable[Fault], source: Source | None) -> SpecError:
    """All faults as one error: in the order of the file, or under their dotted keys for a spec built in Python."""
    if source is None:
        return SpecError(fault.problem for fault in faults)
    placed = [(source.mark(fault.path), fault) for fault in faults]
    placed.sort(key=lambda pair: (pair[0].line, pair[0].column))
    return SpecError(Problem(str(mark), *fault[1:]) for mark, fault in placed)
