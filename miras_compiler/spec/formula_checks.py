"""Checks on formulas of the user's own, which need calculus: their size, and the inverse of a regularizer's derivative."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from miras_compiler.elements.bias import FormulaBias
from miras_compiler.elements.feature_map import FormulaMap
from miras_compiler.elements.retention import BregmanRetention, FDivergenceRetention
from miras_compiler.errors import Fault
from miras_compiler.expressions.budget import NESTED_FUNCTIONS, NESTED_SUMS, PART, SUMS, largest_part, nested_functions, sums_of
from miras_compiler.expressions.inverse import NoInverseError, numeric_inverse
from miras_compiler.expressions.slopes import counterexample
from miras_compiler.expressions.symbols import W, letter
from miras_compiler.spec.schema import Spec

GENERATOR = ("retention", "generator")


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
