"""The search for launches: every kernel by itself, on the tensors of a real call, then all winners together against float64.

Candidates are compiled first, many at once, and tried one after another as soon as those of a package are ready. A process of its own
tries them, and another one goes on behind a candidate that killed it. A package at one width is tuned for several shapes together:
the best launch is that with the least product of its times. Winners that are wrong at a shape give way, one kernel at a time, to the
launches that are shipped.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.bench.comparison import AT_ONCE, ComparisonJob, Runner
from miras_compiler.gpus.launch_table import Launch, TableRow
from miras_compiler.records import Result

SHARES = 5  # processes that compile the candidates of one shape
DEATHS = 8  # candidates that may kill the process that tries them
GAIN = 0.98  # share of its time that a kernel takes with another launch at most, else it keeps the shipped one
Launches = dict[str, Launch]


class Unit(NamedTuple):
    """A package, at shapes of the same widths; `digest` is that of its kernels."""

    package: Path
    digest: str
    jobs: tuple[ComparisonJob, ...]


class Found(NamedTuple):
    """The launches of a unit that are right at all its shapes, by kernel; none for a kernel that is fastest as shipped.

    `times` are milliseconds by kernel and shape, as shipped and as found; `problem` says why there are no launches, or "".
    """

    unit: Unit
    launches: Launches
    times: Mapping[str, Sequence[tuple[float, float]]]
    problem: str

    def total(self, shape: int) -> tuple[float, float]:
        """Milliseconds of all kernels at a shape, as shipped and as found."""
        return sum(each[shape][0] for each in self.times.values()), sum(each[shape][1] for each in self.times.values())


class Tuned(NamedTuple):
    """The row of the launch table for a unit, and the winner for it."""

    row: TableRow
    found: Found

    def recorded(self, digest: str) -> list[Result]:
        """Milliseconds of every kernel at every shape, as shipped and as found."""
        unit, about = self.found.unit, {"row": json.loads(self.row.text())}
        return [
            Result(f"kernel {kernel}", unit.package.name, digest, ms, unit="ms", about=about | {"label": job.label, "launch": launch})
            for kernel, pairs in self.found.times.items()
            for job, pair in zip(unit.jobs, pairs, strict=True)
            for launch, ms in zip(("shipped", "found"), pair, strict=True)
        ]


@dataclass
class Journal:
    """The reports of children, kept in a file, so that a search that was interrupted goes on where it was."""

    file: Path
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        whole, _, half = text.rpartition("\n")  # a child that was killed left half a line
        if half:
            self.file.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        for line in whole.splitlines():
            key, value = json.loads(line)
            self.known[json.dumps(key)] = value

    def add(self, key: Sequence[object], value: Mapping[str, Any]) -> None:
        with self.lock:
            self.known[json.dumps(key)] = dict(value)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, value]) + "\n")

    def of(self, key: Sequence[object]) -> dict[str, Any] | None:
        return self.known.get(json.dumps(key))


@dataclass
class Search:
    """A search for several units; `tell` hears of progress, `limit` are the seconds that one child may take."""

    units: Sequence[Unit]
    dtype: str
    journal: Journal
    run: Runner
    tell: Callable[[str], None]
    limit: float
    processes: int = 1

    def results(self) -> Iterator[Found]:
        """The winners, unit by unit, as they are verified."""
        with ThreadPoolExecutor(self.processes) as pool:
            waiting = {
                unit: [pool.submit(self.compile, unit, job, share) for job in unit.jobs for share in range(SHARES)] for unit in self.units
            }
            for unit, compiled in waiting.items():
                rows = [each.result() for each in compiled]
                for index, job in enumerate(unit.jobs):
                    self.try_all(unit, job, [row for share in rows[index * SHARES : (index + 1) * SHARES] for row in share])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for verified in as_completed([pool.submit(self.verified, unit) for unit in self.units]):
                yield verified.result()

    def arguments(self, job: ComparisonJob, **more: object) -> dict[str, object]:
        return {"package": str(job.package), "shape": job.shape, "dtype": self.dtype, **more}

    def compile(self, unit: Unit, job: ComparisonJob, share: int) -> list[dict[str, Any]]:
        """The candidates of a share that compile; none where they have been tried before."""
        if self.journal.of(["tried", unit.digest, job.shape]):
            return []
        answer = self.run("compile_candidates", self.arguments(job, share=[share, SHARES]), self.limit)
        rows = [row for row in answer.rows if not row["problem"]]
        told = f"{answer.problem}; " if answer.problem else ""
        self.tell(f"{job.label}, share {share + 1} of {SHARES}: {told}{len(rows)} of {len(answer.rows)} launches compile")
        return rows

    def try_all(self, unit: Unit, job: ComparisonJob, compiled: Sequence[Mapping[str, Any]]) -> None:
        """Tries all that has not been tried yet; a candidate that killed the process has a problem, which says so."""
        at = [unit.digest, job.shape]
        for _ in range(DEATHS):
            if self.journal.of(["tried", *at]):
                return
            left: dict[str, list[list[int]]] = {}
            for row in compiled:
                if self.journal.of([*at, row["kernel"], row["launch"]]) is None:
                    left.setdefault(row["kernel"], []).append(row["launch"])
            answer = self.run("try_candidates", self.arguments(job, ready=left), self.limit)
            trying = None
            for row in answer.rows:
                if row.get("trying"):
                    trying = row
                else:
                    trying = None
                    self.journal.add([*at, row["kernel"], row["launch"]], {"ms": row["ms"], "problem": row["problem"]})
            self.tell(f"{job.label}: {len(answer.rows) // 2} launches tried{f'; {answer.problem}' if answer.problem else ''}")
            if trying is not None:
                self.journal.add(
                    [*at, trying["kernel"], trying["launch"]], {"ms": 0.0, "problem": answer.problem or "it ended the process"}
                )
            elif answer.problem:
                return
            else:
                self.journal.add(["tried", *at], {"launches": len(compiled)})

    def times(self, unit: Unit) -> dict[str, dict[Launch | None, list[float]]]:
        """Milliseconds by kernel and launch, shape by shape, of launches that are right at all shapes; None is the shipped one."""
        found: dict[str, dict[Launch | None, list[float]]] = {}
        for key, value in self.journal.known.items():
            digest, shape, *rest = json.loads(key)
            if digest == unit.digest and rest and not value["problem"]:
                kernel, launch = rest
                at = next((index for index, job in enumerate(unit.jobs) if list(job.shape) == shape), None)
                if at is not None:
                    row = found.setdefault(kernel, {}).setdefault(Launch(*launch) if launch else None, [0.0] * len(unit.jobs))
                    row[at] = value["ms"]
        return {kernel: {launch: row for launch, row in rows.items() if all(row)} for kernel, rows in found.items()}

    def verified(self, unit: Unit) -> Found:
        """The winners, held against float64 at every shape, at last the launches that are shipped."""
        times = self.times(unit)
        best = winners(times)
        problem = "nothing was tried to its end"
        for launches in (best, *({name: each for name, each in best.items() if name != left} for left in best), {}) if times else ():
            problem = next(filter(None, (self.wrong(job, launches) for job in unit.jobs)), "")
            self.tell(f"{unit.jobs[0].label}: {told(launches)}: {problem or 'right at every shape'}")
            if not problem:
                pairs = {name: list(zip(rows[None], rows[launches.get(name)], strict=True)) for name, rows in times.items() if None in rows}
                return Found(unit, launches, pairs, "")
        return Found(unit, {}, {}, problem)

    def wrong(self, job: ComparisonJob, launches: Launches) -> str:
        """The fault of these launches against float64 at a shape; "" where they are right."""
        rows, problem = self.run("verify", self.arguments(job, launches={name: list(each) for name, each in launches.items()}), self.limit)
        for row in rows:
            if not row["passed"]:
                return f"{row['entry']} is off by {row['error']:.1e} of {row['limit']:.1e} at {row['verified']}"
        return problem or ("" if len(rows) > 1 else "it ended without a word")


def winners(times: Mapping[str, Mapping[Launch | None, Sequence[float]]]) -> Launches:
    """By kernel the launch with the least product of its times, where it gains something."""
    best: Launches = {}
    for kernel, rows in times.items():
        shares = {launch: math.prod(row) ** (1 / len(row)) for launch, row in rows.items() if launch is not None}
        fastest = min(shares, key=lambda launch: shares[launch], default=None)
        shipped = math.prod(rows[None]) ** (1 / len(rows[None])) if None in rows else math.inf
        if fastest is not None and shares[fastest] < GAIN * shipped:
            best[kernel] = fastest
    return best


def told(launches: Mapping[str, Launch]) -> str:
    return ", ".join(f"{name} {tuple(launch)}" for name, launch in launches.items()) or "as shipped"


def table_row(found: Found, gpu: str, form: str, tile: int | None, measured: str) -> TableRow:
    """The row of the launch table for the winners."""
    return TableRow(gpu, form, max(found.unit.jobs[0].shape[3:]), tile, found.launches, measured)
