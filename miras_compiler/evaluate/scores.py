"""The numbers of an eval.json: scores by dotted names, and curves, which are tables whose keys are numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ORIGIN = "origin"  # the key of a section whose value says where its numbers come from
Point = tuple[float, float]


@dataclass
class Scores:
    """`numbers` and `curves` by the keys that lead to them, joined by dots; the points of a curve are in order."""

    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, tuple[Point, ...]] = field(default_factory=dict)


def scores_of(tree: Mapping[str, Any]) -> Scores:
    """Everything in the tree that is a finite number; two or more under numbers as keys are a curve, such as recall by distance."""
    found = Scores()
    _gather(tree, "", found)
    return found


class CurveName(NamedTuple):
    """Words for the axes of a curve: its section, the measure, and the variable that it runs over, "" where the name tells none."""

    section: str
    measure: str
    over: str


def words_of(curve: str) -> CurveName:
    """`text:held_out.perplexity_by_position` is the perplexity of text:held_out over the position."""
    section, _, name = curve.rpartition(".")
    measure, _, over = name.partition("_by_")
    return CurveName(section, measure.replace("_", " "), over.replace("_", " "))


def number_text(value: float, digits: int) -> str:
    """A whole number in full, another one in so many digits."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.{digits}g}"


def number(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _gather(tree: Mapping[str, Any], path: str, found: Scores) -> None:
    points = [(_as_number(key), number(value)) for key, value in tree.items()]
    curve = tuple(sorted((x, y) for x, y in points if x is not None and y is not None))
    if len(curve) > 1 and len(curve) == len(tree):
        found.curves[path] = curve
        return
    for key, value in tree.items():
        if key == ORIGIN:
            continue
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            _gather(value, name, found)
        elif (known := number(value)) is not None:
            found.numbers[name] = known


def _as_number(key: str) -> float | None:
    try:
        return number(float(key))
    except ValueError:
        return None
