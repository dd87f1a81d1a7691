"""Packages beside their PyTorch form and their peers, one after another on one GPU, each in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.bench.children import Answer, run_child
from miras_compiler.errors import InputError
from miras_compiler.models import read_manifest
from miras_compiler.records import Result

AT_ONCE = 3  # verifications that share the memory of a GPU
DEVIATIONS = 2  # one at a small shape, one at the shape itself
Runner = Callable[[str, Mapping[str, object], float], Answer]


class Wanted(NamedTuple):
    """A shape that is asked for: sequences and tokens, and heads and the width of keys and values where they are not the package's own."""

    batch: int
    tokens: int
    heads: int = 0
    width: int = 0

    @classmethod
    def read(cls, text: str) -> Wanted:
        """Of "B2 T8192 H16 D128". InputError for anything else."""
        found = re.fullmatch(r"B(\d+) ?T(\d+) ?H(\d+) ?D(\d+)", text.strip())
        if found is None or not all(map(int, found.groups())):
            raise InputError(f"--shape {text!r}: expected sequences, tokens, heads and their width, such as 'B2 T8192 H16 D128'")
        return cls(*map(int, found.groups()))


class ComparisonJob(NamedTuple):
    """A package at a shape: sequences, tokens, heads, widths of keys and values, hidden width."""

    package: Path
    shape: tuple[int, int, int, int, int, int]
    chunk: int
    peers: tuple[str, ...]  # their names
    at: str = ""  # the shape, where it is one of several

    @property
    def label(self) -> str:
        hidden = f" N{self.shape[5]}" if self.shape[5] else ""
        return f"{self.package.name} {self.at or f'D{self.shape[3]}'}{hidden} chunk {self.chunk}"


UNITS = {"forward": "ms", "both": "ms", "peak_gib": "GiB", "roofline_forward": "ms", "roofline_both": "ms", "error": ""}


class Timing(NamedTuple):
    """One contender at a package's shape: milliseconds of `tokens` tokens, GiB of memory, the error against float64 or its own reference.

    Without times there is a `problem`: the failure, or the reason why a speed is refused.
    """

    job: ComparisonJob
    contender: str
    tokens: int
    values: Mapping[str, Any]
    problem: str

    @property
    def label(self) -> str:
        return self.job.label

    def recorded(self, digest: str) -> list[Result]:
        """A result for every number; where there is no speed, one that says why."""
        name, values = self.job.package.name, self.values
        about = {"label": self.label, "contender": self.contender, "tokens": self.tokens, "remark": str(values.get("remark", ""))}
        found = []
        for what in (each for each in UNITS if each in values):
            more = {"entry": values["entry"]} if what == "error" and "entry" in values else {}
            if what.startswith("roofline_"):
                more = {"bound": values[what.replace("roofline", "bound")]}
            limit = values.get("limit") if what == "error" else None
            passed = None if limit is None else bool(values[what] <= limit)
            found.append(Result(what, name, digest, values[what], limit, UNITS[what], passed, about={**about, **more}))
        if self.problem:
            found.append(Result("speed", name, digest, passed=False, note=self.problem, about=about))
        return found


def job_of(package: Path, wanted: Wanted, peers: Mapping[str, tuple[str, ...]]) -> ComparisonJob:
    """A package at a shape, the hidden width of a deep one as many times the width as in its own; `peers` are their names by its name."""
    manifest = read_manifest(package)
    dims, (batch, tokens, heads, width) = manifest["dims"], wanted
    hidden = dims.get("N", 0) * (width or dims["K"]) // dims["K"]
    shape = (batch, tokens, heads or dims["H"], width or dims["K"], width or dims["V"], hidden)
    at = f"B{batch} T{tokens} H{heads} D{width}" if width else ""
    return ComparisonJob(package, shape, manifest["chunk"]["size"], peers.get(manifest["name"], ()), at)


def compare_packages(
    jobs: Sequence[ComparisonJob], dtype: str, others: bool, limit: float, processes: int, run: Runner = run_child
) -> Iterator[Timing]:
    """Compiles all kernels, then verifies some packages at a time and measures them one by one: the kernels and their peers.

    With `others` the PyTorch forms come last of all: compiling one takes minutes. `limit` are the seconds that each step may take. Where
    kernels are wrong there is no speed of theirs.
    """
    given = {job: {"package": str(job.package), "shape": job.shape, "dtype": dtype} for job in jobs}
    beside = {(peer, job.shape, job.chunk): peer_arguments(peer, job) for job in jobs for peer in job.peers}
    with ThreadPoolExecutor(processes) as pool:
        waiting = [pool.submit(run, "warm_peer", each, limit) for each in beside.values()]
        waiting += [pool.submit(run, "warm", given[job], limit) for job in jobs]
        for each in waiting:
            each.result()
    measured: dict[tuple[object, ...], Answer] = {}
    for first in range(0, len(jobs), AT_ONCE):
        some = jobs[first : first + AT_ONCE]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            deviations = list(pool.map(lambda job: run("verify", given[job], limit), some))
        for job, deviation in zip(some, deviations, strict=True):
            yield kernel_figure(job, deviation, run("speed", given[job], limit))
            for peer in job.peers:
                key = (peer, job.shape, job.chunk)
                if key not in measured:
                    measured[key] = run("peer", beside[key], limit)
                yield peer_figure(job, peer, measured[key])
    if others:
        with ThreadPoolExecutor(processes) as pool:
            warmed = list(pool.map(lambda job: run("warm_pytorch", given[job], limit), jobs))
        for job, warm in zip(jobs, warmed, strict=True):
            yield pytorch_figure(job, warm if warm.problem else run("pytorch", given[job], limit))


def peer_arguments(peer: str, job: ComparisonJob) -> dict[str, object]:
    return {"peer": peer, "package": str(job.package), "shape": job.shape, "chunk": job.chunk}


def kernel_figure(job: ComparisonJob, deviation: Answer, speed: Answer) -> Timing:
    """The figures of the kernels, from the reports of the children."""
    last = dict(deviation.rows[-1]) if deviation.rows else {}
    error: dict[str, Any] = {name: x for name, x in last.items() if name in ("entry", "error", "limit")}
    if not last.get("passed", True):
        problem = f"no speed: {last['entry']} is off by {last['error']:.1e}, more than {last['limit']:.1e}, at {last['verified']}"
    elif deviation.problem or len(deviation.rows) < DEVIATIONS:
        problem = f"no speed: not verified, {deviation.problem}"
    else:
        error, problem = {**error, **(speed.rows[0] if speed.rows else {})}, "" if speed.rows else speed.problem
    return Timing(job, "kernels", job.shape[0] * job.shape[1], error, problem)


def pytorch_figure(job: ComparisonJob, answer: Answer) -> Timing:
    values = answer.rows[-1] if answer.rows and not answer.problem else {}
    return Timing(job, "PyTorch, compiled", job.shape[0] * job.shape[1], values, "" if values else answer.problem)


def peer_figure(job: ComparisonJob, peer: str, answer: Answer) -> Timing:
    values = dict(answer.rows[-1]) if answer.rows else {}
    batch, contender = values.pop("batch", job.shape[0]), str(values.pop("label", peer))
    if batch != job.shape[0]:
        contender += f", B{batch}"
    problem = answer.problem or ("" if "both" in values else "it does not fit into memory")
    return Timing(job, contender, batch * job.shape[1], values, problem)
