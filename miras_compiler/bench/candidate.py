"""One choice of launches: the correctness of its results, and the time of each kernel."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from miras_compiler.bench.checks import Case
from miras_compiler.bench.clock import Clock
from miras_compiler.bench.roofline import around_launches
from miras_compiler.bench.speed import Work, verdicts
from miras_compiler.bench.subject import Shape, Subject

REPEATS = 5


def try_launches(subject: Subject, shape: Shape, dtype: torch.dtype, clock: Clock, whole: bool, **options: Any) -> Iterator[dict[str, Any]]:
    """A verdict at a small shape, with `whole` one at the shape itself, one on cuts inside of chunks, and then the milliseconds of every
    kernel at the shape itself.

    Ends after a bad verdict.
    """
    passed = True
    for at, verdict in islice(verdicts(subject, shape, dtype, **options), None if whole else 1):
        passed = verdict.passed
        yield {"verified": str(at), "passed": passed, **verdict._asdict()}
    if passed and subject.frozen:  # kernels of a chunk in progress are launched as those of whole chunks are
        row = Case(subject, dtype, shape, 0).split()
        passed = row.passed
        yield {"verified": row.check, "passed": passed, "entry": row.entry, "error": row.error, "limit": row.limit}
    if passed:
        work = Work(subject, shape, dtype, subject.operator, **options)
        yield {"kernels": kernel_times(subject, work.both, clock), "both": clock.median_ms(work.both)}


def kernel_times(subject: Subject, function: Callable[[], object], clock: Clock) -> dict[str, float]:
    """Median milliseconds of every kernel that a call launches, all its launches together."""
    calls: list[dict[str, list[Callable[[], float]]]] = []

    def timed(name: str, sizes: Any, tensors: Sequence[Any], launch: Callable[[], None]) -> None:
        calls[-1].setdefault(name, []).append(clock.timed(launch))

    with around_launches(subject, timed):
        for _ in range(REPEATS + 1):
            calls.append({})
            function()
    return {name: statistics.median(sum(time() for time in call[name]) for call in calls[1:]) for name in calls[0]}
