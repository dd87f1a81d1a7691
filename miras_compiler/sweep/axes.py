"""The axes of a sweep: choices, which are all tried, and ranges, from which a sampler draws."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from miras_compiler.errors import Fault, nearest, short

KEYS = ("low", "high", "log")


@dataclass(frozen=True)
class Choices:
    """Values of a key. Optuna takes equal values such as 1 and true for one, so it is given their texts."""

    key: str
    values: tuple[Any, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """A distinct text for each value."""
        return tuple(as_text(value) for value in self.values)

    def value(self, text: str) -> Any:
        return self.values[self.texts.index(text)]

    def as_dict(self) -> dict[str, Any]:
        return {"key": self.key, "texts": self.texts}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where `integer`."""

    key: str
    low: float
    high: float
    log: bool
    integer: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Axis = Choices | Range


def as_text(value: Any) -> str:
    """Text that differs for values that differ, and is read easily: words as they are, else JSON."""
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value, ensure_ascii=False)


def axis_faults(vary: Mapping[str, Any]) -> tuple[tuple[Axis, ...], list[Fault]]:
    """The axes of `vary`, and its faults."""
    axes: list[Axis] = []
    faults: list[Fault] = []
    for key, said in vary.items():
        found = _choices(key, said) if isinstance(said, list) else _range(key, said)
        if isinstance(found, Choices | Range):
            axes.append(found)
        else:
            faults.append(found)
    return tuple(axes), faults


def _choices(key: str, said: list[Any]) -> Axis | Fault:
    if not said:
        return Fault(("vary", key), f"{short(key)} has no values", remedy="list some: [1, 2]")
    axis = Choices(key, tuple(said))
    for index, text in enumerate(axis.texts):
        if text in axis.texts[:index]:
            return Fault(("vary", key, index), f"{short(text)} is given twice", remedy="keep one")
    return axis


def _range(key: str, said: Any) -> Axis | Fault:
    path = ("vary", key)
    if not isinstance(said, dict):
        remedy = f"write [{short(as_text(said))}, …] or {{low: …, high: …}}"
        return Fault(path, f"{short(key)} should be a list of values or a range", remedy=remedy)
    for name in said:
        if name not in KEYS:
            return Fault((*path, name), f"unknown key '{short(name)}'", "a range has low, high and log", nearest(name, KEYS))
    log = said.get("log", False)
    if not isinstance(log, bool):
        return Fault((*path, "log"), f"log should be true or false, not {short(repr(log))}")
    for name in ("low", "high"):
        value = said.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            what = f"{name} should be a number, not {short(as_text(value))}" if name in said else f"'{name}' is missing"
            return Fault((*path, name), what, remedy="write {low: 0.001, high: 0.1, log: true}")
    low, high = said["low"], said["high"]
    if low >= high:
        return Fault((*path, "high"), f"high {high} is not above low {low}", remedy="exchange them, or list one value")
    if log and low <= 0:
        return Fault((*path, "low"), f"low {low} has no logarithm", remedy="start above 0, or leave log out")
    return Range(key, low, high, log, isinstance(low, int) and isinstance(high, int))
