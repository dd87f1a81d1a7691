"""The search for launches: candidates tried one by one, each in a process of its own, verified before they are timed.

All kernels are tried with one launch at a time. Where such a candidate dies or is wrong, each kernel is tried with that launch alone. The
fastest launch of every kernel makes the last candidate. Until then verdicts are over a small shape, which takes seconds; the answer is the
fastest candidate that is right at the whole shape, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.bench.comparison import Job, Runner
from miras_compiler.gpus.launch_table import Launch, TableRow
from miras_compiler.records import Result

LAUNCHES = tuple(
    Launch(*each)
    for each in (
        (4, 1, 64, 255), (8, 1, 64, 255), (4, 2, 64, 255), (4, 3, 64, 255), (8, 2, 64, 255), (4, 1, 64, 168), (4, 1, 64, 128),
        (8, 1, 64, 168), (8, 1, 32, 255), (4, 2, 32, 255),
    )
)  # fmt: skip
TILES = (64, 32)  # tile lengths, where the chunk of the spec does not say


class Candidate(NamedTuple):
    """A tile length (None: that of the package) and launches by kernel; a kernel that is not named is launched as shipped.

    `whole`: verified at the whole shape, not at a small one alone.
    """

    tile: int | None
    launches: tuple[tuple[str, Launch], ...]
    whole: bool = False

    @property
    def key(self) -> str:
        return json.dumps([self.tile, {name: list(launch) for name, launch in self.launches}, self.whole], sort_keys=True)

    def __str__(self) -> str:
        said = {launch for _, launch in self.launches}
        how = (
            f"all {tuple(said.pop())}"
            if len(said) == 1 and len(self.launches) > 1
            else ", ".join(f"{n} {tuple(x)}" for n, x in self.launches)
        )
        return (f"tile {self.tile}, " if self.tile else "") + (how or "as shipped")


class Outcome(NamedTuple):
    """The outcome of a candidate: milliseconds of a forward and backward pass and of every kernel, or the problem with it."""

    both: float
    kernels: Mapping[str, float]
    problem: str


class Tuned(NamedTuple):
    """The row of the launch table for a package, and the times under its launches."""

    package: Path
    row: TableRow
    outcome: Outcome

    def recorded(self, digest: str) -> list[Result]:
        about = {"row": json.loads(self.row.text())}
        times = {"both": self.outcome.both, **{f"kernel {name}": ms for name, ms in self.outcome.kernels.items()}}
        return [Result(what, self.package.name, digest, ms, unit="ms", about=about) for what, ms in times.items()]


@dataclass
class Journal:
    """Outcomes by candidate, kept in a file, so that a search that was interrupted goes on where it was."""

    file: Path
    known: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        whole, _, half = text.rpartition("\n")  # a search that was killed left half a line
        if half:
            self.file.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        for line in whole.splitlines():
            entry = json.loads(line)
            self.known[entry["candidate"]] = Outcome(**{name: entry[name] for name in Outcome._fields})

    def add(self, candidate: Candidate, outcome: Outcome) -> None:
        self.known[candidate.key] = outcome
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"candidate": candidate.key, **outcome._asdict()}) + "\n")


@dataclass
class Search:
    """A search for one package; `tell` hears of every candidate and its outcome, `limit` are the seconds that one may take."""

    job: Job
    dtype: str
    journal: Journal
    run: Runner
    tell: Callable[[Candidate, Outcome], None]
    limit: float
    processes: int = 1

    def arguments(self, candidate: Candidate) -> dict[str, object]:
        launches = {name: list(launch) for name, launch in candidate.launches}
        shape = {"package": str(self.job.package), "shape": self.job.shape, "dtype": self.dtype}
        return {**shape, "launches": launches, "tile": candidate.tile, "whole": candidate.whole}

    def warm(self, candidates: Sequence[Candidate]) -> None:
        """Compiles the candidates, many at once; a failure is reported when the candidate is tried."""
        new = [each for each in candidates if each.key not in self.journal.known]
        with ThreadPoolExecutor(self.processes) as pool:
            list(pool.map(lambda each: self.run("warm", self.arguments(each), self.limit), new))

    def outcome(self, candidate: Candidate) -> Outcome:
        if candidate.key not in self.journal.known:
            self.journal.add(candidate, self.tried(candidate))
        found = self.journal.known[candidate.key]
        self.tell(candidate, found)
        return found

    def tried(self, candidate: Candidate) -> Outcome:
        rows, problem = self.run("candidate", self.arguments(candidate), self.limit)
        wrong = [row for row in rows if "passed" in row and not row["passed"]]
        if wrong:
            problem = f"{wrong[0]['entry']} is off by {wrong[0]['error']:.1e} of {wrong[0]['limit']:.1e} at {wrong[0]['verified']}"
        timed: dict[str, Any] = next((row for row in rows if "kernels" in row), {})
        if not timed:
            return Outcome(0.0, {}, problem or "it ended without a word")
        return Outcome(timed["both"], timed["kernels"], problem)


def tune(search: Search, tiles: Sequence[int | None]) -> tuple[Candidate, Outcome] | None:
    """The fastest candidate that is right at the whole shape, or None where not even the shipped launches are."""
    tried = {candidate: search.outcome(candidate) for candidate in (Candidate(tile, ()) for tile in tiles)}
    names = next((tuple(outcome.kernels) for outcome in tried.values() if not outcome.problem), ())
    uniform = [Candidate(tile, tuple((name, launch) for name in names)) for tile, launch in product(tiles, LAUNCHES) if names]
    search.warm(uniform)
    for candidate in uniform:
        tried[candidate] = search.outcome(candidate)
        if tried[candidate].problem:
            for name, launch in candidate.launches:
                alone = Candidate(candidate.tile, ((name, launch),))
                tried[alone] = search.outcome(alone)
    for tile in tiles:
        best = Candidate(tile, tuple(sorted(fastest(tried, tile))))
        tried[best] = search.outcome(best)
    right = [candidate for candidate, outcome in tried.items() if not outcome.problem]
    for candidate in sorted(right, key=lambda each: tried[each].both):
        outcome = search.outcome(candidate._replace(whole=True))
        if not outcome.problem:
            return candidate, outcome
    return None


def fastest(tried: Mapping[Candidate, Outcome], tile: int | None) -> Iterator[tuple[str, Launch]]:
    """The fastest launch of every kernel among the candidates that were right; none for a kernel that is fastest as shipped."""
    best: dict[str, tuple[float, Launch | None]] = {}
    for candidate, outcome in tried.items():
        if candidate.tile == tile and not outcome.problem:
            launches = dict(candidate.launches)
            for name, ms in outcome.kernels.items():
                if name not in best or ms < best[name][0]:
                    best[name] = (ms, launches.get(name))
    return ((name, launch) for name, (_, launch) in best.items() if launch is not None)


def table_row(candidate: Candidate, job: Job, gpu: str, form: str) -> TableRow:
    """The row of the launch table for a candidate."""
    return TableRow(gpu, form, max(job.shape[3:]), candidate.tile or job.chunk, dict(candidate.launches))
