"""What a page shows of a training run: the learning curve, and the numbers of its evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miras_compiler.runs import RunFolder, read_object

Point = tuple[float, float]


@dataclass(frozen=True)
class Run:
    """`about` is run.json; `steps` are the rows of metrics.jsonl; `scores` and `curves` are the numbers of eval.json by dotted names.

    A curve is a table whose keys are numbers, such as recall by distance. `remarks` say what could not be read.
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
    """InputError where run.json is none of ours; what is missing or torn besides is remarked on."""
    run = RunFolder(folder)
    about = run.about()
    remarks: list[str] = []
    steps = tuple(run.rows(remarks))
    scores: dict[str, float] = {}
    curves: dict[str, tuple[Point, ...]] = {}
    if run.evaluation.is_file():
        _gather(read_object(run.evaluation), "", scores, curves)
    else:
        remarks.append(f"{folder}: no {run.evaluation.name}; `miras eval {folder}` writes it")
    return Run(about, steps, scores, curves, tuple(remarks))


def number(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _gather(tree: dict[str, Any], path: str, scores: dict[str, float], curves: dict[str, tuple[Point, ...]]) -> None:
    points = [(_as_number(key), number(value)) for key, value in tree.items()]
    curve = tuple(sorted((x, y) for x, y in points if x is not None and y is not None))
    if len(curve) > 1 and len(curve) == len(tree):
        curves[path] = curve
        return
    for key, value in tree.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            _gather(value, name, scores, curves)
        elif (found := number(value)) is not None:
            scores[name] = found


def _as_number(key: str) -> float | None:
    try:
        return number(float(key))
    except ValueError:
        return None
