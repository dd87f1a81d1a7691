"""A training run's folder: what was run, the learning curve, and the evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miras_compiler.errors import InputError

RUN, METRICS, EVALUATION = "run.json", "metrics.jsonl", "eval.json"
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
    """InputError where run.json is none; what is missing or torn besides is remarked on."""
    about = _object(folder / RUN)
    remarks: list[str] = []
    steps = tuple(_lines(folder / METRICS, remarks))
    scores: dict[str, float] = {}
    curves: dict[str, tuple[Point, ...]] = {}
    if (folder / EVALUATION).is_file():
        _gather(_object(folder / EVALUATION), "", scores, curves)
    else:
        remarks.append(f"{folder}: no {EVALUATION}; `miras eval {folder}` writes it")
    return Run(about, steps, scores, curves, tuple(remarks))


def number(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _lines(path: Path, remarks: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; a run that was killed may leave a torn one."""
    if not path.is_file():
        remarks.append(f"{path}: is not there, so there is no learning curve")
        return
    for count, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield row
        elif line.strip():
            remarks.append(f"{path}:{count}: is no JSON object, and is left out")


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


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no JSON: {error}; name the folder of a run") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; name the folder of a run")
    return value
