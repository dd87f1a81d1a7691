"""Random specs by number, on many processes: every one is refused with a reason, or compiles and passes the literal oracle.

One line of JSON per spec goes to the results file as soon as its verdict is there; a second run goes on where the first one stopped. Spec
`index` of seed `seed` is the same wherever it is drawn. Exit code 1 if any spec failed.

    PYTHONPATH=.:tests python tests/campaigns/try_random_specs.py --count 2000 --workers 16 --output random_specs.jsonl

With --whole, every spec that is accepted goes through all of `miras verify --quick`, with its layer and, in the interpreter, its kernels;
--first and --count cut a long run into pieces for several machines.

With --kernels, only specs that have Triton kernels are tried, about one of twenty, and the kernels run in Triton's interpreter: every row
of the correctness table in float32, against float64. A file holds the results of runs with it, or of runs without.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before torch is imported, here and in the workers

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from kit.random_outcome import Outcome, outcome_of
from kit.random_specs import Tree, random_spec

Line = dict[str, Any]
SPECS_PER_WORKER = 100  # sympy's caches grow


def drawn(seed: int, index: int) -> Tree:
    return random_spec(Random(f"{seed}:{index}"))


def tried(seed: int, index: int, kernels: bool, whole: bool) -> Line:
    """The verdict on one spec."""
    tree = drawn(seed, index)
    return {"seed": seed, "index": index, **outcome_of(tree, kernels, whole)._asdict(), "spec": tree}


def _work(pipe: Connection, seed: int, kernels: bool, whole: bool) -> None:
    """Answers indices with lines, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and then stops its workers
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(tried(seed, pipe.recv(), kernels, whole))


class Worker:
    """A process that tries one spec at a time, and is replaced when it takes too long, when it dies, and now and then."""

    def __init__(self, settings: tuple[int, bool, bool]) -> None:
        self.pipe, theirs = Pipe()
        self.process = get_context("spawn").Process(target=_work, args=(theirs, *settings))
        self.process.start()
        theirs.close()
        self.index = -1
        self.began = 0.0
        self.done = 0

    def begin(self, index: int) -> None:
        self.index, self.began = index, time.monotonic()
        self.pipe.send(index)

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def results(path: Path, seed: int, first: int, count: int) -> list[Line]:
    """The results of this range in the file; a last line that was cut off is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    known = {line["index"]: line for line in lines if line["seed"] == seed and first <= line["index"] < first + count}
    return [known[index] for index in sorted(known)]


def run(missing: Sequence[int], workers: int, limit: float, settings: tuple[int, bool, bool]) -> Iterator[Line]:
    """A line for every index, as they come; each has `limit` seconds."""
    waiting, busy, idle = list(reversed(missing)), list[Worker](), list[Worker]()
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else Worker(settings)
                worker.begin(waiting.pop())
                busy.append(worker)
            ready = wait([worker.pipe for worker in busy], 1.0)
            for worker in list(busy):
                late = time.monotonic() - worker.began > limit
                if worker.pipe not in ready and not late:
                    continue
                busy.remove(worker)
                line, problem = None, f"no end within {limit:g} s"
                if worker.pipe in ready:
                    try:
                        line = worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join(5)
                        problem = f"the worker ended with exit code {worker.process.exitcode}"
                yield line or _cut_off(settings[0], worker.index, problem, time.monotonic() - worker.began)
                worker.done += 1
                if line is None or worker.done >= SPECS_PER_WORKER:
                    worker.end()
                else:
                    idle.append(worker)
    finally:
        for worker in (*busy, *idle):
            worker.end()


def _cut_off(seed: int, index: int, problem: str, seconds: float) -> Line:
    return {"seed": seed, "index": index, **Outcome("failed", "", (problem,), round(seconds, 2))._asdict(), "spec": drawn(seed, index)}


def show(lines: list[Line], console: Console) -> None:
    """The number of specs by verdict, by parallel form and by reason, and every failure."""
    verdicts = Counter(line["verdict"] for line in lines)
    tried_for = [line["seconds"] for line in lines if line["verdict"] != "refused"]
    claims = [line["kernels"] for line in lines if line.get("kernels") and line["verdict"] == "accepted"]
    console.print(
        f"{len(lines)} specs: {verdicts['accepted']} compiled and passed, {verdicts['refused']} refused, {verdicts['unstable']} unstable, "
        f"{verdicts['failed']} failed; "
        f"{sum(tried_for) / max(1, len(tried_for)):.2f} s per compiled spec, {max(tried_for, default=0):.1f} s the longest"
    )
    if claims:
        console.print(f"kernels of {len(claims)} executed, and all {sum(claims)} claims hold")
    listed = ("parallel form", "accepted", "form"), ("refused because", "refused", "told")
    for title, kept, of in listed:
        table = Table("specs", title)
        counts = Counter(item for line in lines if line["verdict"] == kept for item in ([line[of]] if of == "form" else set(line[of])))
        for item, count in counts.most_common():
            table.add_row(str(count), item)
        console.print(table)
    for line in lines:
        if line["verdict"] == "failed":
            told = (f"failed: seed {line['seed']}, index {line['index']}", *line["told"], json.dumps(line["spec"]))
            console.print(*told, sep="\n  ", markup=False, soft_wrap=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="index of the first spec")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--limit", type=int, default=120, help="seconds a spec may take")
    parser.add_argument("--kernels", action="store_true", help="run the Triton kernels of specs that have some, and leave others out")
    parser.add_argument("--whole", action="store_true", help="all of `miras verify --quick`, instead of the claims about the rule itself")
    parser.add_argument("--output", type=Path, default=Path("random_specs.jsonl"))
    given = parser.parse_args()
    if given.kernels and given.whole:
        parser.error("--whole runs the kernels, too: leave out --kernels")
    if given.kernels and importlib.util.find_spec("triton") is None:
        parser.error("--kernels runs kernels in Triton's interpreter, and Triton is not installed here")
    console = Console()
    span = range(given.first, given.first + given.count)
    there = {line["index"] for line in results(given.output, given.seed, given.first, given.count)}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with given.output.open("a", encoding="utf-8") as file, Progress(*columns, console=console) as progress:
        if file.tell() and not given.output.read_bytes().endswith(b"\n"):
            file.write("\n")  # after a line that was cut off
        task = progress.add_task("random specs", total=given.count, completed=len(there))
        failed, interrupted = 0, False
        try:
            missing = [index for index in span if index not in there]
            for line in run(missing, given.workers, given.limit, (given.seed, given.kernels, given.whole)):
                file.write(json.dumps(line) + "\n")
                file.flush()
                failed += line["verdict"] == "failed"
                progress.update(task, advance=1, description=f"random specs, {failed} failed")
        except KeyboardInterrupt:
            console.print("interrupted; the same command goes on from here")
            interrupted = True
    lines = results(given.output, given.seed, given.first, given.count)
    show(lines, console)
    return 130 if interrupted else 1 if any(line["verdict"] == "failed" for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
