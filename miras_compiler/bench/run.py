"""The runs of `miras bench` on compiled packages. They need neither a spec nor the compiler: a GPU's machine may have torch alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from miras_compiler.bench.children import run_child, stopped_with_us
from miras_compiler.bench.comparison import Figure, compare_packages, job_of
from miras_compiler.bench.correctness import CaseResult, check_packages
from miras_compiler.bench.machine import Machine
from miras_compiler.bench.peers import installed_peers
from miras_compiler.bench.tables import CHECKED, COMPARED, TUNED, check_rows, figure_row, tuned_row
from miras_compiler.bench.tune import TILES, Candidate, Journal, Outcome, Search, Tuned, table_row, tune
from miras_compiler.console import PrintedRow, counting, show_json, show_table
from miras_compiler.errors import CheckFailed
from miras_compiler.gpus import gpu_class
from miras_compiler.gpus.launch_table import FILE, read_table, table_text, with_row
from miras_compiler.models import Manifest, read_manifest
from miras_compiler.records import Record, Result, origin_here
from miras_compiler.store import write_file

Kind = Literal["kernels", "peers", "tune", "check"]
Manifests = Mapping[Path, Manifest]
Missed = list[str]


@dataclass
class Bench:
    """A run: its kind, the packages, the machine, and the shape, `batch` sequences of `tokens` tokens.

    `limit` are the seconds that one measurement may take, `processes` the kernels that are compiled at a time, `cases` the widths of each
    package that a check goes through. `results` gets the results as JSON while they come in: an interrupt leaves those that were found.
    `command` is the line that started the run, that of the command line if None.
    """

    kind: Kind
    packages: tuple[Path, ...]
    machine: Machine
    batch: int = 8
    tokens: int = 4096
    cases: int = 5
    limit: float = 300.0
    processes: int = 8
    results: Path | None = None
    journal: Path = Path(".tune")
    as_json: bool = False
    command: str | None = None
    found: Sequence[Result] = field(init=False, default=())

    def run(self) -> None:
        """Prints the table. InputError for a folder that is no package with kernels, CheckFailed where something was missed."""
        manifests = {package: read_manifest(package) for package in self.packages}
        with stopped_with_us():
            missed = {"check": self.check, "tune": self.tune}.get(self.kind, self.compare)(manifests)
        if self.as_json:
            show_json(self.record.as_dict())
        else:
            print(", ".join((self.machine.device, f"torch {self.machine.torch}", f"Triton {self.machine.triton}")))
        if missed:
            raise CheckFailed(f"missed: {', '.join(missed)}")

    @property
    def record(self) -> Record:
        origin = origin_here(self.machine.device, 0, self.command)
        versions = {**origin.versions, "torch": self.machine.torch, "triton": self.machine.triton}
        return Record(replace(origin, versions=versions), self.found)

    def save(self, found: Sequence[Result]) -> None:
        self.found = found
        if self.results is not None:
            write_file(self.results, self.record.text())

    def show(self, title: str, columns: tuple[str, ...], rows: list[PrintedRow]) -> None:
        if not self.as_json:
            show_table(title, columns, rows)

    def check(self, manifests: Manifests) -> Missed:
        """Every kernel against float64, over widths and precisions."""
        results: list[CaseResult] = []
        deep = [(package, "N" in manifest["dims"]) for package, manifest in manifests.items()]

        def recorded(cases: Sequence[CaseResult]) -> list[Result]:
            return [result for case in cases for result in case.recorded(manifests[case.package]["digest"])]

        with counting("checking", min(self.cases, 5) * len(deep)) as tell:

            def hear(result: CaseResult) -> None:
                results.append(result)
                self.save(recorded(results))
                missed = sum(not row.passed for row in result.rows)
                tell(f"{result.package.name} {result.widths.dtype} {result.widths}: {f'{missed} missed' if missed else 'ok'}")

            ordered = check_packages(deep, self.cases, self.processes, self.limit, hear)
        self.save(recorded(ordered))
        rows = [row for result in ordered for row in check_rows(result)]
        self.show(f"{sum(bool(row.good) for row in rows)} of {len(rows)} hold", CHECKED, rows)
        return [
            f"{each.package.name} ({row.check}, {each.widths.dtype} {each.widths})"
            for each in ordered
            for row in each.rows
            if not row.passed
        ]

    def compare(self, manifests: Manifests) -> Missed:
        """The kernels, and with "peers" the PyTorch form and the peers that are installed."""
        others = self.kind == "peers"
        jobs = [job_of(package, self.batch, self.tokens, installed_peers() if others else {}) for package in manifests]
        figures: list[Figure] = []
        title = f"B{self.batch} T{self.tokens}, bfloat16; medians; errors against float64 (of titans-pytorch: its own)"
        try:
            with counting("measuring", sum(1 + others + len(job.peers) for job in jobs)) as tell:
                for figure in compare_packages(jobs, "bfloat16", others, self.limit, self.processes):
                    figures.append(figure)
                    self.save([result for each in figures for result in each.recorded(manifests[each.job.package]["digest"])])
                    tell("  ".join(filter(None, figure_row(figure).cells)))
        finally:  # after an interrupt, the figures that there are
            self.show(title, COMPARED, [figure_row(each) for each in sorted(figures, key=lambda figure: jobs.index(figure.job))])
        return [f"{each.label} ({each.problem})" for each in figures if each.contender == "kernels" and each.problem]

    def tune(self, manifests: Manifests) -> Missed:
        """The best launches of every package, entered into the launch table; launches that were tried before stand in the journal."""
        missed: Missed = []
        found: list[Tuned] = []
        for package, manifest in manifests.items():
            job, gpu = job_of(package, self.batch, self.tokens, {}), gpu_class(self.machine.device)
            name = f"{manifest['digest']}_{gpu}_B{self.batch}_T{self.tokens}.jsonl".replace(" ", "_")
            with counting(f"tuning {package.name}", None) as tell:

                def hear(candidate: Candidate, outcome: Outcome, tell: Callable[[str], None] = tell) -> None:
                    tell(f"{candidate}: {outcome.problem or f'{outcome.both:.3f} ms'}")

                journal = Journal(self.journal / name)
                search = Search(job, "bfloat16", journal, run_child, hear, self.limit, self.processes)
                best = tune(search, (None,) if has_own_tile(manifest) else TILES)
            if best is None:
                missed.append(f"{package.name} (no launches that are right)")
                continue
            candidate, outcome = best
            row = table_row(candidate, job, gpu, manifest["kernels"]["form"])
            write_file(FILE, table_text(with_row(read_table(FILE.read_text(encoding="utf-8")), row)))
            found.append(Tuned(package, row, outcome))
            self.save([result for each in found for result in each.recorded(manifests[each.package]["digest"])])
        self.show(f"entered into {FILE.name}; compile the specs again", TUNED, [tuned_row(each) for each in found])
        return missed


def has_own_tile(manifest: Manifest) -> bool:
    """Tells whether kernels have no tile length to choose: a chunk of the spec sets it, or they walk over tokens."""
    return bool(manifest["chunk"]["gradient"] == "chunk_start" or manifest["kernels"]["schedule"] == "walk")
