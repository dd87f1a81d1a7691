"""A bar chart of Unicode blocks, for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = " ▁▂▃▄▅▆▇█"


def bars(values: Sequence[float], height: int, floor: float, ceiling: float) -> list[str]:
    """Rows of text, topmost first: one column per value, from nothing at `floor` to `height` full blocks at `ceiling`."""
    eighths = [round(8 * height * (min(max(value, floor), ceiling) - floor) / (ceiling - floor)) for value in values]
    return ["".join(BLOCKS[min(max(filled - 8 * row, 0), 8)] for filled in eighths) for row in reversed(range(height))]


def bin_means(curve: Sequence[float], bins: int) -> list[float]:
    """Means of `bins` stretches of a curve, equally long but for one value; at most one bin per value."""
    bins = min(bins, len(curve))
    edges = [len(curve) * index // bins for index in range(bins + 1)] if bins else []
    return [sum(curve[start:end]) / (end - start) for start, end in pairwise(edges)]
