"""The runs of `miras bench` on compiled packages. They need neither a spec nor the compiler: a GPU's machine may have torch alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Literal

from miras_compiler.bench.children import run_child, stopped_with_us
from miras_compiler.bench.comparison import ComparisonJob, Timing, Wanted, compare_packages, job_of
from miras_compiler.bench.correctness import CaseResult, check_packages
from miras_compiler.bench.machine import Machine
from miras_compiler.bench.peers import installed_peers
from miras_compiler.bench.tables import CHECKED, COMPARED, TUNED, check_rows, figure_row, tuned_row
from miras_compiler.bench.tune import Journal, Search, Tuned, Unit, table_row
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
    shapes: tuple[Wanted, ...] = ()  # in place of the packages' own widths
    cases: int = 5
    limit: float = 300.0
    processes: int = 8
    results: Path | None = None
    journal: Path = Path(".tune")
    as_json: bool = False
    command: str | None = None
    found: Sequence[Result] = field(init=False, default=())

    def run(self) -> None:
        """Prints the table. InputError for a folder that is not a package with kernels, CheckFailed where something was missed."""
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
        found: dict[Path, list[CaseResult]] = {package: [] for package in manifests}  # in their order, whatever ends first
        cases: list[CaseResult] = []
        deep = [(package, "N" in manifest["dims"]) for package, manifest in manifests.items()]

        with counting("checking", min(self.cases, 5) * len(deep)) as tell:
            for result in check_packages(deep, self.cases, self.processes, self.limit):
                found[result.package].append(result)
                cases = list(chain.from_iterable(found.values()))
                self.save([row for case in cases for row in case.recorded(manifests[case.package]["digest"])])
                missed = sum(not row.passed for row in result.rows)
                tell(f"{result.package.name} {result.widths.dtype} {result.widths}: {f'{missed} missed' if missed else 'ok'}")
        rows = [row for case in cases for row in check_rows(case)]
        self.show(f"{sum(bool(row.good) for row in rows)} of {len(rows)} hold", CHECKED, rows)
        return [
            f"{each.package.name} ({row.check}, {each.widths.dtype} {each.widths})" for each in cases for row in each.rows if not row.passed
        ]

    def compare(self, manifests: Manifests) -> Missed:
        """The kernels, and with "peers" the PyTorch form and the peers that are installed."""
        others = self.kind == "peers"
        jobs = self.jobs(manifests, installed_peers() if others else {})
        found: dict[ComparisonJob, list[Timing]] = {job: [] for job in jobs}
        figures: list[Timing] = []
        at = "" if self.shapes else f"B{self.batch} T{self.tokens}, "
        title = f"{at}bfloat16; medians; errors against float64 (of titans-pytorch: its own)"
        try:
            with counting("measuring", sum(1 + others + len(job.peers) for job in jobs)) as tell:
                for figure in compare_packages(jobs, "bfloat16", others, self.limit, self.processes):
                    found[figure.job].append(figure)
                    figures = list(chain.from_iterable(found.values()))
                    self.save([result for each in figures for result in each.recorded(manifests[each.job.package]["digest"])])
                    tell("  ".join(filter(None, figure_row(figure).cells)))
        finally:  # after an interrupt, the figures that there are
            self.show(title, COMPARED, [figure_row(each) for each in figures])
        return [f"{each.label} ({each.problem})" for each in figures if each.contender == "kernels" and each.problem]

    def tune(self, manifests: Manifests) -> Missed:
        """The best launches of every package by width, entered into the launch table; earlier tries stand in the journal."""
        gpu = gpu_class(self.machine.device)
        missed: Missed = []
        tuned: list[Tuned] = []
        measured = f"{self.machine.device}, torch {self.machine.torch}, Triton {self.machine.triton}, {date.today().isoformat()}"
        units = units_of(self.jobs(manifests, {}))
        with counting("tuning", None) as tell:
            search = Search(units, "bfloat16", Journal(self.journal / f"{gpu}.jsonl"), run_child, tell, self.limit, self.processes)
            for found in search.results():
                manifest = manifests[found.unit.package]
                if found.problem:
                    missed.append(f"{found.unit.jobs[0].label} ({found.problem})")
                    continue
                tile = manifest["chunk"]["size"] if manifest["chunk"]["gradient"] == "chunk_start" else None
                row = table_row(found, gpu, manifest["kernels"]["form"], tile, measured)
                write_file(FILE, table_text(with_row(read_table(FILE.read_text(encoding="utf-8")), row)))
                tuned.append(Tuned(row, found))
                self.save([result for each in tuned for result in each.recorded(manifests[each.found.unit.package]["digest"])])
        self.show(f"entered into {FILE.name}; compile the specs again", TUNED, [tuned_row(each) for each in tuned])
        return missed

    def jobs(self, manifests: Manifests, peers: Mapping[str, tuple[str, ...]]) -> list[ComparisonJob]:
        """Every package at every shape."""
        shapes = self.shapes or (Wanted(self.batch, self.tokens),)
        return [job_of(package, wanted, peers) for package in manifests for wanted in shapes]


def units_of(jobs: Sequence[ComparisonJob]) -> list[Unit]:
    """The jobs by package and widths, those of wide heads last."""
    found: dict[tuple[Path, tuple[int, ...]], list[ComparisonJob]] = {}
    for job in jobs:
        found.setdefault((job.package, job.shape[3:]), []).append(job)
    ordered = sorted(found.items(), key=lambda item: item[0][1])
    return [Unit(package, kernels_digest(package), tuple(each)) for (package, _), each in ordered]


def kernels_digest(package: Path) -> str:
    """A digest of a package's kernels: the compiler may print others from the same spec."""
    return sha256((package / "kernels.py").read_bytes()).hexdigest()[:12]
