"""Sequences of 100,000 tokens through every chunk form, in float64 and float32: finite, bounded, and how far float32 drifts.

    python benchmarks/long_sequences.py --output benchmarks/results/DATE_long_sequences specs/*.yaml

One sequence, one head, K 4, on the CPU. Results enter OUTPUT.json as they come, and specs that stand there (by digest and number of tokens)
are not run again; OUTPUT.txt is the table. Exit code 1 if a form is not finite, grows, or drifts where its rule is linear.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from miras_compiler import Spec, compile_spec, load_spec
from miras_compiler.records import Record, Result, cpu, origin_here, read_record
from miras_compiler.spec import digest
from miras_compiler.store import write_file
from miras_compiler.verify.checks.guards import DRIFT, GROWTH, is_bounded, is_linear, run_long
from miras_compiler.verify.package import opened_here
from miras_compiler.verify.subject import Subject
from miras_compiler.version import __version__

SAMPLE = 1000  # tokens from which the time of all is estimated
FIGURES = ("growth", "drift", "drift_at_end")


def measure(spec: Spec, tokens: int, limit: float) -> dict[str, Any]:
    """One row of the table; without figures where the run would take longer than `limit` seconds."""
    with tempfile.TemporaryDirectory() as folder, opened_here(compile_spec(spec).write(folder), spec.name) as package:
        subject = Subject(spec.model_dump(by_alias=True), package)
        row = {"name": spec.name, "digest": package.manifest["digest"], "form": package.manifest["parallel_form"]["kind"], "tokens": tokens}
        row |= {"linear": is_linear(subject), "bounded": is_bounded(subject), "eta": subject.step / 4}
        run_long(subject, SAMPLE // 10)  # the cost of the first call alone
        began = time.perf_counter()
        run_long(subject, SAMPLE)
        expected = (time.perf_counter() - began) * tokens / SAMPLE
        if expected > limit:
            return row | {"left_out": f"would take {expected:.0f} s, more than {limit:.0f} s"}
        began = time.perf_counter()
        result = run_long(subject, tokens)
        figures = {"growth": result.growth, "drift": result.drift, "drift_at_end": result.drift_at_end}
        return row | {"broken": list(result.broken), **figures, "seconds": round(time.perf_counter() - began, 1)}


def results_of(row: dict[str, Any]) -> list[Result]:
    """The figures of a row, one result each."""
    about = {key: value for key, value in row.items() if key not in ("name", "digest", *FIGURES)}
    return [Result(figure, row["name"], row["digest"], row[figure], about=about) for figure in FIGURES]


def rows_of(record: Record) -> list[dict[str, Any]]:
    """The rows that `results_of` made results of."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for result in record.results:
        key = (result.name, result.digest, result.about["tokens"])
        rows.setdefault(key, {"name": result.name, "digest": result.digest, **result.about})[result.what] = result.value
    return list(rows.values())


def holds(row: dict[str, Any]) -> bool:
    """Finite, and bounded where the loss is; float32 close to float64 where the rule is linear."""
    calm = row["growth"] <= GROWTH or not row["bounded"]
    exact = max(row["drift"], row["drift_at_end"]) <= DRIFT or not row["linear"]
    return not row["broken"] and math.isfinite(row["growth"]) and calm and exact


def table(rows: list[dict[str, Any]], command: str) -> str:
    versions = f"torch {torch.__version__}, Python {platform.python_version()}, miras-compiler {__version__}"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {versions}, CPU, one thread; {command}",
        "B 1, H 1, K 4; growth: largest output of the second half over that of the first; drift: RMS error of float32 against float64",
        "on the same inputs, over all outputs and over their last tenth",
        f"held: growth to {GROWTH:g}, but for a deep memory under dot_product, whose loss has no lower bound;",
        f"drift to {DRIFT:g} where the rule is linear in the state",
        "",
        f"     {'spec':24} {'form':21} {'linear':6} {'tokens':>8} {'growth':>7} {'drift':>8} {'at end':>8} {'seconds':>8}",
    ]
    for row in sorted(rows, key=lambda row: row["name"]):
        columns = f"{row['name']:24} {row['form']:21} {'yes' if row['linear'] else 'no':6} {row['tokens']:8,}"
        if "left_out" in row:
            lines.append(f"--   {columns} {row['left_out']}")
            continue
        figures = f"{row['growth']:7.2f} {row['drift']:8.1e} {row['drift_at_end']:8.1e} {row['seconds']:8.1f}"
        lines.append(f"{'ok  ' if holds(row) else 'MISS'} {columns} {figures} {' '.join(row['broken'])}".rstrip())
    tried = [row for row in rows if "left_out" not in row]
    return "\n".join([*lines, f"{sum(map(holds, tried))} of {len(tried)} hold, {len(rows) - len(tried)} left out", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--limit", type=float, default=300, help="seconds that a spec may take")
    parser.add_argument("--output", type=Path, required=True, help="without its ending")
    given = parser.parse_args()
    torch.set_num_threads(1)
    log = given.output.with_name(f"{given.output.name}.json")
    known = rows_of(read_record(log)) if log.exists() else []
    rows = []
    for spec in map(load_spec, given.specs):
        same = [row for row in known if (row["name"], row["tokens"]) == (spec.name, given.tokens)]
        row = next((row for row in same if row["digest"] == digest(spec)), None)
        if row is None:
            row = measure(spec, given.tokens, given.limit)
        if row not in known and "left_out" not in row:
            known.append(row)
            origin = origin_here(f"{cpu()}, one thread", 0, " ".join(["python", *sys.argv]))
            write_file(log, Record(origin, [result for each in known for result in results_of(each)]).text())
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    text = table(rows, f"benchmarks/long_sequences.py --tokens {given.tokens} --limit {given.limit:g}, {len(rows)} specs")
    given.output.with_name(f"{given.output.name}.txt").write_text(text)
    print(text)
    return 0 if all(holds(row) for row in rows if "left_out" not in row) else 1


if __name__ == "__main__":
    sys.exit(main())
