"""Random specs by number, on many processes: every one is refused with a reason, or compiles and passes the literal oracle.

One line of JSON per spec goes to the results file as soon as its verdict is there; a second run goes on where the first one stopped. Spec
`index` of seed `seed` is the same wherever it is drawn. Exit code 1 if any spec failed.

    PYTHONPATH=. python tests/try_random_specs.py --count 2000 --processes 16 --output random_specs.jsonl

With --kernels, only specs that have Triton kernels are tried, about one of twenty, and the kernels run in Triton's interpreter: every row
of the correctness table in float32, against float64. A file holds the results of runs with it, or of runs without.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before torch is imported, here and in the workers

import torch
from random_outcome import Outcome, outcome_of
from random_specs import Tree, random_spec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Line = dict[str, Any]


def drawn(seed: int, index: int) -> Tree:
    return random_spec(Random(f"{seed}:{index}"))


def tried(seed: int, index: int, limit: int, kernels: bool) -> Line:
    """The verdict on one spec, which has `limit` seconds."""
    tree = drawn(seed, index)
    signal.alarm(limit)
    try:
        outcome = outcome_of(tree, kernels)
    except _NoEnd:
        outcome = Outcome("failed", "", (f"no end within {limit} s",), float(limit))
    finally:
        signal.alarm(0)
    return {"seed": seed, "index": index, **outcome._asdict(), "spec": tree}


class _NoEnd(BaseException):
    """No Exception, so that nothing on the way takes it for one of its own."""


def _start_worker() -> None:
    def ring(number: int, frame: object) -> None:
        raise _NoEnd

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and then stops its workers
    signal.signal(signal.SIGALRM, ring)
    torch.set_num_threads(1)


def results(path: Path, seed: int, first: int, count: int) -> list[Line]:
    """What the file holds of this range; a last line that was cut off is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    known = {line["index"]: line for line in lines if line["seed"] == seed and first <= line["index"] < first + count}
    return [known[index] for index in sorted(known)]


def run(seed: int, missing: list[int], processes: int, limit: int, kernels: bool) -> Iterator[Line]:
    with get_context("spawn").Pool(processes, _start_worker, maxtasksperchild=100) as pool:  # ended with the block, however it is left
        yield from pool.imap_unordered(partial(tried, seed, limit=limit, kernels=kernels), missing)


def show(lines: list[Line], console: Console) -> None:
    """How many specs came to which verdict, by parallel form, by reason, and every failure."""
    verdicts = Counter(line["verdict"] for line in lines)
    tried_for = [line["seconds"] for line in lines if line["verdict"] not in ("refused", "no kernels")]
    claims = [line["kernels"] for line in lines if line.get("kernels") and line["verdict"] == "accepted"]
    console.print(
        f"{len(lines)} specs: {verdicts['accepted']} compiled and passed, {verdicts['refused']} refused, {verdicts['unstable']} unstable, "
        f"{verdicts['failed']} failed; "
        f"{sum(tried_for) / max(1, len(tried_for)):.2f} s per compiled spec, {max(tried_for, default=0):.1f} s the longest"
    )
    if claims or verdicts["no kernels"]:
        console.print(f"kernels of {len(claims)} executed, and all {sum(claims)} claims hold; {verdicts['no kernels']} have none, left out")
    listed = ("parallel form", "accepted", "form"), ("refused because", "refused", "told"), ("no kernels because", "no kernels", "told")
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
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=int, default=120, help="seconds a spec may take")
    parser.add_argument("--kernels", action="store_true", help="run the Triton kernels of specs that have some, and leave others out")
    parser.add_argument("--output", type=Path, default=Path("random_specs.jsonl"))
    given = parser.parse_args()
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
            for line in run(given.seed, [index for index in span if index not in there], given.processes, given.limit, given.kernels):
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
