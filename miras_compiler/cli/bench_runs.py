"""The runs of `miras bench` on compiled packages. They need neither a spec nor the compiler: a GPU's machine may have torch alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from miras_compiler.bench.checks import REFUSED
from miras_compiler.bench.children import run_child, stopped_with_us
from miras_compiler.bench.comparison import Figure, compare_packages, job_of
from miras_compiler.bench.correctness import CaseResult, as_dicts, check_packages
from miras_compiler.bench.machine import Machine
from miras_compiler.bench.peers import installed_peers
from miras_compiler.bench.tune import TILES, Candidate, Journal, Outcome, Search, table_row, tune
from miras_compiler.cli.console import Row, counting, show_json, show_table
from miras_compiler.errors import CheckFailed, InputError
from miras_compiler.gpus import gpu_class
from miras_compiler.gpus.launch_table import FILE, read_table, table_text, with_row
from miras_compiler.store import write_file

Kind = Literal["kernels", "peers", "tune", "check"]
Missed = list[str]


@dataclass
class Bench:
    """What is run, on which packages, at which shape.

    `limit` are the seconds that one measurement may take, `processes` how many compile kernels at a time, `cases` the widths of each
    package that a check goes through. `results` gets the rows as JSON while they come in: an interrupt leaves what was found.
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
    rows: list[dict[str, Any]] = field(init=False, default_factory=list)

    def run(self) -> None:
        """Prints the table. InputError for a folder that is no package with kernels, CheckFailed where something was missed."""
        manifests = [manifest_of(package) for package in self.packages]
        with stopped_with_us():
            missed = {"check": self.check, "tune": self.tune}.get(self.kind, self.compare)(manifests)
        if self.as_json:
            show_json({**self.about, "rows": self.rows})
        else:
            print(", ".join((self.machine.device, f"torch {self.machine.torch}", f"Triton {self.machine.triton}")))
        if missed:
            raise CheckFailed(f"missed: {', '.join(missed)}")

    @property
    def about(self) -> dict[str, Any]:
        return {**self.machine._asdict(), "command": " ".join(["miras", *sys.argv[1:]])}

    def save(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        if self.results is not None:
            write_file(self.results, json.dumps({**self.about, "rows": rows}, ensure_ascii=False, indent=1) + "\n")

    def show(self, title: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        if not self.as_json:
            show_table(title, columns, rows)

    def check(self, manifests: list[dict[str, Any]]) -> Missed:
        """Every kernel against float64, over widths and precisions."""
        results: list[CaseResult] = []
        digests = digests_of([package.name for package in self.packages], manifests)
        deep = [(package, "N" in manifest["dims"]) for package, manifest in zip(self.packages, manifests, strict=True)]
        with counting("checking", min(self.cases, 5) * len(deep)) as tell:

            def hear(result: CaseResult) -> None:
                results.append(result)
                self.save(with_digests(as_dicts(results), "name", digests))
                missed = sum(not row.passed for row in result.rows)
                tell(f"{result.name} {result.widths.dtype} {result.widths}: {f'{missed} missed' if missed else 'ok'}")

            ordered = check_packages(deep, self.cases, self.processes, self.limit, hear)
        self.save(with_digests(as_dicts(ordered), "name", digests))
        columns = ("result", "package", "tokens", "widths", "check", "error", "limit", "entry")
        rows = [row for result in ordered for row in check_rows(result)]
        self.show(f"{sum(bool(row.good) for row in rows)} of {len(rows)} hold", columns, rows)
        return [f"{each.name} ({row.check}, {each.widths.dtype} {each.widths})" for each in ordered for row in each.rows if not row.passed]

    def compare(self, manifests: list[dict[str, Any]]) -> Missed:
        """The kernels, and with "peers" the PyTorch form and what is installed of the peers."""
        others = self.kind == "peers"
        jobs = [job_of(package, self.batch, self.tokens, installed_peers() if others else {}) for package in self.packages]
        digests = digests_of([job.label for job in jobs], manifests)
        figures: list[Figure] = []
        title = f"B{self.batch} T{self.tokens}, bfloat16; medians; errors against float64 (of titans-pytorch: its own)"
        columns = ("package", "what", "forward ms", "both ms", "ns / token", "GiB", "error", "of its roofline", "remark")
        try:
            with counting("measuring", sum(1 + others + len(job.peers) for job in jobs)) as tell:
                for figure in compare_packages(jobs, "bfloat16", others, self.limit, self.processes):
                    figures.append(figure)
                    self.save(with_digests([each.as_dict() for each in figures], "label", digests))
                    tell("  ".join(filter(None, figure_row(figure).cells)))
        finally:  # after an interrupt, what there is
            labels = [job.label for job in jobs]
            self.show(title, columns, [figure_row(each) for each in sorted(figures, key=lambda figure: labels.index(figure.label))])
        return [f"{each.label} ({each.problem})" for each in figures if each.contender == "kernels" and each.problem]

    def tune(self, manifests: list[dict[str, Any]]) -> Missed:
        """The best launches of every package, entered into the launch table; what was tried before stands in the journal."""
        missed, found = [], []
        for package, manifest in zip(self.packages, manifests, strict=True):
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
            found.append({"name": package.name, "both": outcome.both, "kernels": dict(outcome.kernels), "row": json.loads(row.text())})
            self.save(found)
        columns = ("package", "both ms", "form", "width", "tile", "launches")
        self.show(f"entered into {FILE.name}; compile the specs again", columns, [tuned_row(each) for each in found])
        return missed


def digests_of(names: Sequence[str], manifests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The digests of packages by what rows call them; a name that several packages have is left out."""
    pairs = zip(names, manifests, strict=True)
    return {name: manifest["digest"] for name, manifest in pairs if names.count(name) == 1}


def with_digests(rows: list[dict[str, Any]], key: str, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows that say which package, to the byte of its spec, they were measured of."""
    return [{**row, "digest": digests[row[key]]} if row[key] in digests else row for row in rows]


def has_own_tile(manifest: dict[str, Any]) -> bool:
    """Whether kernels have no tile length to choose: a chunk of the spec, or they walk over tokens."""
    return bool(manifest["chunk"]["gradient"] == "chunk_start" or manifest["kernels"]["schedule"] == "walk")


def check_rows(result: CaseResult) -> Iterator[Row]:
    about = (result.name, result.widths.dtype, str(result.widths))
    for row in result.rows:
        verdict = "refused" if row.check == REFUSED else "ok" if row.passed else "MISS"
        yield Row((verdict, *about, row.check, f"{row.error:.1e}", f"{row.limit:.1e}", row.entry), row.passed)


def tuned_row(found: dict[str, Any]) -> Row:
    row = found["row"]
    launches = ", ".join(f"{name} {tuple(launch)}" for name, launch in row["kernels"].items()) or "as shipped"
    return Row((found["name"], f"{found['both']:.3f}", row["form"], str(row["width"]), str(row["tile"]), launches))


def figure_row(figure: Figure) -> Row:
    values = figure.values
    error = f"{values['error']:.1e}" if "error" in values else ""
    if figure.problem:
        return Row((figure.label, figure.contender, "", "", "", "", error, "", figure.problem), False)
    passes = [name for name in ("forward", "both") if f"roofline_{name}" in values]
    shares = [f"{values[f'roofline_{name}'] / values[name]:.0%} of {values[f'bound_{name}']}" for name in passes]
    per_token = 1e6 * values["both"] / figure.tokens
    times = (f"{values['forward']:.3f}", f"{values['both']:.3f}", f"{per_token:.0f}", f"{values['peak_gib']:.2f}")
    return Row((figure.label, figure.contender, *times, error, ", ".join(shares), str(values.get("remark", ""))))


def manifest_of(package: Path) -> dict[str, Any]:
    """What the manifest of a package says."""
    if not (package / "manifest.json").is_file():
        raise InputError(f"{package}: no generated package here (no manifest.json); name a spec, or compile it first")
    manifest: dict[str, Any] = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    return manifest
