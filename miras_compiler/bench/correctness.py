"""Packages against their float64 forms on this machine's GPU, over widths and precisions, each case in a process of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from miras_compiler.bench.checks import Deviation
from miras_compiler.bench.children import run_child
from miras_compiler.records import Result

HEADS, FORCED = 4, 2048


class Widths(NamedTuple):
    """The precision of the tokens, the width of keys and values, the hidden width."""

    dtype: str
    key: int
    hidden: int = 0

    def __str__(self) -> str:
        return f"K {self.key}" + (f" N {self.hidden}" if self.hidden else "")


MATRIX = (Widths("float32", 64), Widths("bfloat16", 64), Widths("bfloat16", 128), Widths("float32", 32), Widths("bfloat16", 48))
DEEP = (
    Widths("float32", 64, 64), Widths("bfloat16", 64, 64), Widths("bfloat16", 64, 256), Widths("float32", 64, 256),
    Widths("bfloat16", 32, 96),
)  # fmt: skip


class CaseResult(NamedTuple):
    """The deviations of a package's kernels at some widths."""

    package: Path
    widths: Widths
    rows: tuple[Deviation, ...]

    def recorded(self, digest: str) -> list[Result]:
        return [_recorded(self, row, digest) for row in self.rows]


def check_packages(packages: Sequence[tuple[Path, bool]], cases: int, processes: int, limit: float) -> Iterator[CaseResult]:
    """The first `cases` widths of every package, which comes with whether its memory is deep, as they end.

    `limit` are the seconds that a case may take; one that does not come to its end has a row that says so.
    """
    jobs = [(package, (DEEP if deep else MATRIX)[index]) for index in range(min(cases, len(MATRIX))) for package, deep in packages]

    def run(job: tuple[Path, Widths]) -> CaseResult:
        return CaseResult(*job, tuple(case_rows(*job, limit)))

    with ThreadPoolExecutor(processes) as pool:
        for ended in as_completed([pool.submit(run, job) for job in jobs]):
            yield ended.result()


def case_rows(package: Path, widths: Widths, limit: float) -> Iterator[Deviation]:
    shape = (1, 1, HEADS, widths.key, widths.key, widths.hidden)
    given = {"package": str(package), "dtype": widths.dtype, "shape": shape, "forced": FORCED, "device": "cuda"}
    answer = run_child("check", given, limit)
    yield from (Deviation(**row) for row in answer.rows)
    if answer.problem:
        yield Deviation("runs to its end", answer.problem, math.inf, 0.0)


def _recorded(case: CaseResult, row: Deviation, digest: str) -> Result:
    about = {**case.widths._asdict(), "entry": row.entry}
    claimed = not math.isinf(row.limit)
    limit, passed = (row.limit, row.passed) if claimed else (None, None)
    return Result(row.check, case.package.name, digest, row.error, limit, passed=passed, about=about)
