"""The points of a grid: all combinations of its choices in an order that the first seed gives, again and again where ranges are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from miras_compiler.errors import InputError
from miras_compiler.sweep.axes import Range, as_text
from miras_compiler.sweep.grid import Grid
from miras_compiler.tasks.base import ORDER, seeded

MOST = 100_000


@dataclass(frozen=True)
class Point:
    """A combination of choices by key, as texts; the numbers of ranges are drawn when it is tried."""

    index: int
    chosen: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.index:04d}"


def points(grid: Grid) -> Iterator[Point]:
    """All of them; without an end where the grid has ranges. InputError where they are too many."""
    sizes = [len(axis.values) for axis in grid.choices]
    count = math.prod(sizes)
    if count > MOST:
        raise InputError(f"{grid.place}: its choices make {count:,} points, and {MOST:,} are the most; give ranges in place of long lists")
    order = seeded(ORDER, grid.seeds[0]).permutation(count)
    index = 0
    while True:
        for number in order:
            rest, chosen = int(number), {}
            for axis in grid.choices:
                rest, at = divmod(rest, len(axis.values))
                chosen[axis.key] = axis.texts[at]
            yield Point(index, chosen)
            index += 1
        if not grid.ranges:
            return


def values_of(grid: Grid, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a grid's keys, from the parameters of a trial."""
    return {axis.key: params[axis.key] if isinstance(axis, Range) else axis.value(params[axis.key]) for axis in grid.axes}


def label_of(values: Mapping[str, Any]) -> str:
    """A point in words."""
    return ", ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={as_text(value)}" for key, value in values.items())
