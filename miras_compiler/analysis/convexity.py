"""The verdict on the convexity of a loss in u: proven by rules, refuted by a point, or unknown.

The point is two rows u and a row v, with values of the gates, at which the loss half way between the two rows is larger than the mean
of its ends. Rows and gates are taken from sequences that are the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from miras_compiler.analysis.curvature import Range, Ranges, curvature_of
from miras_compiler.expressions.symbols import Power0, RowMax, RowSum, U, letter
from miras_compiler.ir.expression_value import FUNCTIONS

Array = NDArray[np.float64]
WIDTHS = (1, 2, 4)  # of the rows that are tried, the shortest first
SCALES = (1.0, 0.1, 10.0, 0.01, 100.0)
GAPS = (1.0, 0.2)  # between the two rows, in scales
COUNT = 256  # points of each width, scale and gap
ROUNDING = 1e-7  # of the largest number on the way to a value: less is no counterexample
SLOPES = (0.61803398875, 0.75487766625, 0.56984029099, 0.81917251339)  # irrational: their multiples fill the unit interval evenly


@dataclass(frozen=True)
class Convexity:
    """A verdict with its reason; `point` is the counterexample: the letters with their values, u twice."""

    kind: Literal["convex", "counterexample", "unknown"]
    reason: str
    remedy: str = ""
    point: Mapping[str, tuple[float, ...]] | None = None


def classify_convexity(loss: sp.Expr, gates: Ranges) -> Convexity:
    """The verdict on a scalar in u, v and gates, whose ranges are given."""
    if curvature_of(loss, gates).convex:
        return Convexity("convex", "the rules of composition prove it")
    for width in WIDTHS:
        for letters in _letters(sorted(gates), gates, width):
            found = _counterexample(loss, letters)
            if found is not None:
                return found
    remedy = "a step against its gradient may lead away from the value; see `miras explain` for the gradient"
    return Convexity("unknown", "no rule proves it, and no point that was tried refutes it", remedy)


def _counterexample(loss: sp.Expr, letters: dict[str, Array]) -> Convexity | None:
    bound = {letter(name): row for name, row in letters.items() if name not in ("u", "u2")}
    first, last = letters["u"], letters["u2"]
    with np.errstate(all="ignore"):
        (start, size), (end, size2), (middle, size3) = (
            _value(loss, {**bound, U: row}, first.shape) for row in (first, last, (first + last) / 2)
        )
        excess = (middle - (start + end) / 2) / np.maximum(np.maximum(size, size2), size3)
    excess = np.where(np.isfinite(excess) & np.isfinite(start) & np.isfinite(end), excess, 0.0)[:, 0]
    worst = int(np.argmax(excess))
    if excess[worst] <= ROUNDING:
        return None
    point = {name: tuple(map(float, row[worst])) for name, row in letters.items()}
    ends = f"{_row(point['u'])} and {_row(point['u2'])}"
    rest = ", ".join(f"{name} = {_row(values)}" for name, values in point.items() if name not in ("u", "u2"))
    mean = (start[worst, 0] + end[worst, 0]) / 2
    reason = f"half way between u = {ends}, at {rest}, it is {middle[worst, 0]:.6g}, above the mean {mean:.6g} of its ends"
    return Convexity("counterexample", reason, "a step against its gradient may lead away from the value", point)


def _row(values: tuple[float, ...]) -> str:
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _letters(names: list[str], gates: Ranges, width: int) -> Iterator[dict[str, Array]]:
    """Values of u, u2 (the other end), v and the gates: arrays of COUNT rows of `width` entries, or of one for a gate."""
    for scale in SCALES:
        for gap in GAPS:
            rows = [scale * factor * _spread(width, first) for first, factor in ((0, 1.0), (width, gap), (2 * width, 1.0))]
            yield {
                "u": rows[0],
                "u2": rows[0] + rows[1],
                "v": rows[2],
                **{name: _inside(gates[name], _spread(1, 3 * width + i)) for i, name in enumerate(names)},
            }


def _spread(width: int, first: int) -> Array:
    """COUNT rows that fill the cube from −1 to 1 evenly, in steps of 1/50."""
    columns = [_multiples(first + i) for i in range(width)]
    return np.stack([np.round(50 * (2 * column - 1)) / 50 for column in columns], -1)


def _multiples(number: int) -> Array:
    slope = SLOPES[number % len(SLOPES)] * math.sqrt(1 + number // len(SLOPES))
    return np.asarray((np.arange(1, COUNT + 1) * slope + 0.13 * number) % 1)


def _inside(range: Range, spread: Array) -> Array:
    """From −1 to 1 into a range that may be infinite on either side, its ends left out."""
    low, high = range
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * (1 + 0.98 * spread) / 2
    if math.isfinite(low):
        return low + np.round(10.0**spread, 3)
    return 2 * spread if math.isinf(high) else high - np.round(10.0**spread, 3)


def _value(expr: sp.Expr, bound: Mapping[sp.Symbol, Array], shape: tuple[int, int]) -> tuple[Array, Array]:
    """The value of every row, and the largest absolute value that went into it, as a measure of its rounding errors."""
    if expr.is_Number:
        return np.array([[float(expr)]]), np.zeros((1, 1))
    if expr in bound:
        value, sizes = bound[expr], []
    else:
        arguments = [_value(argument, bound, shape) for argument in expr.args]
        value, sizes = _apply(expr, [argument for argument, _ in arguments], shape), [size for _, size in arguments]
        if isinstance(expr, sp.Add):
            sizes += [np.abs(argument).max(-1, keepdims=True) for argument, _ in arguments]
    size = np.abs(value).max(-1, keepdims=True)
    for other in sizes:
        size = np.maximum(size, other)
    return value, size


def _apply(expr: sp.Expr, arguments: list[Array], shape: tuple[int, int]) -> Array:
    match expr:
        case sp.Add():
            return sum(arguments[1:], arguments[0])
        case sp.Mul():
            return math.prod(arguments[1:], start=arguments[0])
        case sp.Pow(args=(_, exponent)):
            return np.asarray(arguments[0] ** float(exponent))
        case Power0(args=(_, exponent)):
            return np.asarray(FUNCTIONS["Power0"](arguments[0], float(exponent)))
        case RowSum():
            return np.asarray(np.broadcast_to(arguments[0], shape).sum(-1, keepdims=True))
        case RowMax():
            return np.asarray(np.broadcast_to(arguments[0], shape).max(-1, keepdims=True))
    function: Any = FUNCTIONS[type(expr).__name__]
    return np.asarray(function(*arguments))
