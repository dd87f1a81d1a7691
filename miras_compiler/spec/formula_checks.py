"""Checks on formulas of the user's own, which need calculus: their size, and the inverse of a regularizer's derivative."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import sympy as sp

from miras_compiler.elements.bias import FormulaBias
from miras_compiler.elements.feature_map import FormulaMap
from miras_compiler.elements.retention import BregmanRetention, FDivergenceRetention
from miras_compiler.errors import Fault
from miras_compiler.expressions.budget import NESTED_FUNCTIONS, NESTED_SUMS, PART, SUMS, largest_part, nested_functions, sums_of
from miras_compiler.expressions.inverse import NoInverseError, numeric_inverse
from miras_compiler.expressions.slopes import counterexample, values_at
from miras_compiler.expressions.symbols import U, V, W, X, letter
from miras_compiler.spec.schema import Spec

GENERATOR = ("retention", "generator")
ENTRIES = (-1.3, -0.4, 0.2, 0.7, 1.9)  # of rows that a formula is tried at


def size_of_map(spec: Spec) -> Iterator[Fault]:
    if isinstance(spec.feature_map, FormulaMap):
        yield from _size(("feature_map", "map"), spec.feature_map.expression())


def size_of_loss(spec: Spec) -> Iterator[Fault]:
    if isinstance(spec.attentional_bias, FormulaBias):
        yield from _size(("attentional_bias", "loss"), spec.attentional_bias.loss())


def _size(path: tuple[str, str], expr: sp.Expr) -> Iterator[Fault]:
    """A short formula may have an endless derivative: that of a product of a hundred sums has a hundred products."""
    remedy = "take fewer factors, or nest functions less deeply"
    sums, deep = sums_of(expr)
    for count, most, what in (
        (sums, SUMS, "sums and maxima over a row"),
        (deep, NESTED_SUMS, "sums and maxima over a row inside one another"),
        (nested_functions(expr), NESTED_FUNCTIONS, "functions inside one another"),
    ):
        if count > most:
            yield Fault(path, f"the formula is too large: it has {count} {what}", f"a package is written for up to {most}", remedy)
            return
    nodes = largest_part(expr)
    if nodes > PART:
        what = f"the formula is too large: with its derivative it has {nodes:,} numbers, letters and operations"
        yield Fault(path, what, f"a package is written for up to {PART:,}", remedy)


def domain_of_map(spec: Spec) -> Iterator[Fault]:
    if isinstance(spec.feature_map, FormulaMap):
        yield from _domain(("feature_map", "map"), spec.feature_map.expression(), [{X: x} for x in ENTRIES])


def domain_of_loss(spec: Spec) -> Iterator[Fault]:
    if isinstance(spec.attentional_bias, FormulaBias):
        gates = {letter(name): spec.gate_range(name) for name in spec.attentional_bias.gates() if name in spec.gates}
        middle = {name: _within(own.low, own.high) for name, own in gates.items()}
        points = [{U: u, V: v, **middle} for u, v in product(ENTRIES, repeat=2)]
        yield from _domain(("attentional_bias", "loss"), spec.attentional_bias.loss(), points)


def _domain(path: tuple[str, str], expr: sp.Expr, points: Sequence[Mapping[sp.Symbol, float]]) -> Iterator[Fault]:
    """A formula has a value for all rows: its logarithms are of numbers above 0. Rows of one entry are tried."""
    for inside in sorted((part.args[0] for part in expr.atoms(sp.log)), key=sp.default_sort_key):
        for point, value in zip(points, values_at(inside, points), strict=True):
            if value is not None and value <= 0:
                where = ", ".join(f"{name} = {number:g}" for name, number in point.items() if inside.has(name))
                what = f"the {path[1]} has no value at {where}"
                yield Fault(path, what, f"it has the logarithm of {value:.3g} there", "for example log(1 + abs(…)) or log(max(…, 1e-6))")
                return


def _within(low: float, high: float) -> float:
    """A number in a range whose ends may be infinite."""
    if math.isinf(low):
        return min(0.7, high - 1)
    return low + 0.7 if math.isinf(high) else (low + high) / 2


def map_of_generator(spec: Spec) -> Iterator[Fault]:
    """A regularizer of one's own is convex, and its derivative can be inverted on the whole line."""
    retention = spec.retention
    if not isinstance(retention, BregmanRetention | FDivergenceRetention):
        return
    variable = W if isinstance(retention, BregmanRetention) else letter("t")
    function = retention.function()
    for expr in (function, sp.diff(function, variable)):  # Newton's step takes the second derivative
        too_large = list(_size(GENERATOR, expr))
        yield from too_large
        if too_large:
            return
    point = counterexample(function, variable)
    if point is not None:
        yield Fault(GENERATOR, f"the generator is not convex: its slope falls at {variable} = {point:.3g}", "", "take a convex function")
        return
    try:
        retention.inverse_map(sp.diff(function, variable))
    except NoInverseError as error:
        remedy = "say `inverse: newton`, or take another function" if _newton_helps(retention) else "take another one"
        yield Fault(GENERATOR, f"the generator {error}", "", remedy)


def _newton_helps(retention: BregmanRetention | FDivergenceRetention) -> bool:
    """Returns true where a derivative without a closed inverse has one by numbers."""
    if not isinstance(retention, BregmanRetention) or retention.inverse == "newton":
        return False
    try:
        numeric_inverse(sp.diff(retention.function(), W))
    except NoInverseError:
        return False
    return True
