"""A training run on a page: the learning curve, and the numbers of its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miras_compiler.evaluate.scores import Point, number, scores_of
from miras_compiler.runs import RunFolder, read_object


@dataclass(frozen=True)
class Run:
    """`about` is run.json; `steps` are the rows of metrics.jsonl; `scores` and `curves` are the numbers of eval.json by dotted names.

    A curve is a table whose keys are numbers, such as recall by distance. `remarks` name the parts that could not be read.
    """

    about: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    scores: dict[str, float]
    curves: dict[str, tuple[Point, ...]]
    remarks: tuple[str, ...] = ()

    def learning(self, measure: str) -> tuple[Point, ...]:
        """A column of metrics.jsonl over the steps."""
        pairs = ((number(row.get("step")), number(row.get(measure))) for row in self.steps)
        return tuple((step, value) for step, value in pairs if step is not None and value is not None)


def read_run(folder: Path) -> Run:
    """InputError where run.json is none of ours; remarks name other parts that are missing or torn."""
    run = RunFolder(folder)
    about = run.about()
    remarks: list[str] = []
    steps = tuple(run.rows(remarks))
    if not run.evaluation.is_file():
        remarks.append(f"{folder}: no {run.evaluation.name}; `miras eval {folder}` writes it")
    found = scores_of(read_object(run.evaluation) if run.evaluation.is_file() else {})
    return Run(about, steps, found.numbers, found.curves, tuple(remarks))
