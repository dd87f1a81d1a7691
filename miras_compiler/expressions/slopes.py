"""Numerical facts about the derivative of a convex function: its falls, its jumps, and whether it takes every real value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import sympy as sp

from miras_compiler.expressions.symbols import (
    Power0,
    RealFunction,
    RowMax,
    RowSum,
    W,
    larger,
    magnitude,
    power0,
    sigmoid,
    signum,
    smaller,
    softplus,
)

STEP = 1e-4
NOTHING, JUMP, FINITE = 1e-60, 1e-3, 1e9  # next to 0; a rise over so little that is a jump; a value beyond which a slope has a pole
ROUNDS = 40  # of halving, after which two numbers of one sign differ by 1e-12 of their size
PACE = 12  # points of the image over which a derivative is seen to go on rising
IMAGES: tuple[Callable[[float], float], ...] = (math.sinh, math.exp, lambda t: 1 / (1 + math.exp(-t)), math.tanh)
"""The domains of regularizers, as images of the real line: itself, the positive numbers, (0, 1) and (−1, 1)."""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


STEADY: dict[str, Callable[[float], float]] = {"sigmoid": _sigmoid, "softplus": _softplus, "step": lambda x: float(x > 0)}
"""Functions of one number that sympy does not have, or not where exp(x) is no number."""


def numeric(expr: sp.Expr, variable: sp.Symbol) -> Callable[[float], float]:
    """The expression as a function of one number; where products of its parts leave the floats, from numbers without a largest one."""
    plain = _plain(steadied(expr))
    function: Callable[[float], float] = sp.lambdify(variable, plain, [STEADY, "math"])
    endless = cache(lambda: sp.lambdify(variable, in_sympy(plain), "mpmath"))

    def value(at: float) -> float:
        found = function(at)
        return found if math.isfinite(found) else float(endless()(at))

    return value


def values_at(expr: sp.Expr, points: Sequence[Mapping[sp.Symbol, float]]) -> list[float | None]:
    """The values of an expression for rows of one entry; None where it has none, or leaves the floats."""
    expr = expr.replace(RowSum, lambda x: x).replace(RowMax, lambda x: x)
    function = sp.lambdify([list(points[0])], _plain(expr), [STEADY, "math"])
    return [_call(function, list(point.values())) for point in points]


def in_sympy(expr: sp.Expr) -> sp.Expr:
    """In functions of sympy, which it can evaluate."""
    return _plain(expr).replace(sigmoid, lambda x: 1 / (1 + sp.exp(-x))).replace(softplus, lambda x: sp.log(1 + sp.exp(x)))


def _plain(expr: sp.Expr) -> sp.Expr:
    """In functions of sympy and those of `STEADY`."""
    expr = expr.replace(magnitude, sp.Abs).replace(signum, sp.sign).replace(larger, sp.Max).replace(smaller, sp.Min)
    return expr.replace(Power0, lambda base, exponent: base**exponent)


def steadied(expr: sp.Expr) -> sp.Expr:
    """Without quotients of two numbers that leave the floats: sinh(x) / cosh(x) = tanh(x), exp(x) / (exp(x) + 1) = sigmoid(x)."""

    def quotient(product: sp.Mul) -> sp.Expr:
        for factor in product.args:
            for over, below, value in ((sp.sinh, sp.cosh, sp.tanh), (sp.exp, lambda x: sp.exp(x) + 1, sigmoid)):
                if isinstance(factor, over) and 1 / below(factor.args[0]) in product.args:
                    return product / factor * below(factor.args[0]) * value(factor.args[0])
        return _growth_together(product)

    return expr.replace(lambda e: isinstance(e, sp.Add), _hyperbolic).replace(lambda e: isinstance(e, sp.Mul), quotient)


def _hyperbolic(terms: sp.Add) -> sp.Expr:
    """exp(x) + exp(−x) = 2 cosh(x), exp(x) − exp(−x) = 2 sinh(x)."""
    for term in terms.args:
        factor, x = term.as_coeff_Mul()
        if isinstance(x, sp.exp) and (opposite := sp.exp(-x.args[0])) != x:
            for sign, function in ((1, sp.cosh), (-1, sp.sinh)):
                if sign * factor * opposite in terms.args:
                    return terms - term - sign * factor * opposite + 2 * factor * function(x.args[0])
    return terms


def _growth_together(product: sp.Mul) -> sp.Expr:
    """A product of powers of cosh and sinh, some of them reciprocal, with one exponential for all: cosh(x) = e^|x| (1 + e^−2|x|) / 2."""
    found: sp.Expr = sp.Integer(1)
    growth: list[sp.Expr] = []
    shrinks = False
    for factor in product.args:
        whole, n = factor.args if isinstance(factor, Power0) else factor.as_base_exp() if isinstance(factor, sp.Pow) else (factor, sp.S.One)
        number, base = whole.as_coeff_Mul()
        if isinstance(factor, sp.exp):
            growth.append(factor.args[0])
        elif isinstance(base, sp.cosh | sp.sinh) and n.is_Integer:
            ratio, x = base.args[0].as_coeff_Mul()
            size = abs(ratio) * magnitude(x)
            growth.append(n * size)
            found *= (number * (1 + sp.exp(-2 * size)) / 2) ** n * (sp.tanh(base.args[0]) ** n if isinstance(base, sp.sinh) else 1)
            shrinks = shrinks or n < 0
        else:
            found *= factor
    return found * sp.exp(sp.Add(*growth)) if shrinks and len(growth) > 1 else product


def softened(expr: sp.Expr) -> sp.Expr:
    """log(1 + exp(x)) as softplus(x), which is a number, and has a slope, where exp(x) is none."""

    def is_softplus(e: sp.Expr) -> bool:
        return isinstance(e, sp.log) and isinstance(e.args[0] - 1, sp.exp)

    return expr.replace(is_softplus, lambda e: softplus((e.args[0] - 1).args[0]))


class _tanh(RealFunction):
    """tanh, with the derivative 1/cosh²: 1 − tanh² would cancel, and in a sum take the digits of small terms with it."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.cosh(self.args[0]) ** -2


def curvature(slope: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """The derivative of a derivative, to all digits where it is small."""
    return steadied(sp.diff(slope.replace(sp.tanh, _tanh), variable).replace(_tanh, sp.tanh))


def gain(slope: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """1 / F''(w), how much w = F'⁻¹(a) changes with a; 0 where F'' is 0 or, as that of |w|^1.5 at 0, infinite."""

    def guarded(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        if not exponent.is_negative or base.is_positive:
            return base**exponent
        if isinstance(base, signum):
            return base**-exponent
        return power0(base.args[0], base.args[1] * exponent) if isinstance(base, Power0) else power0(base, exponent)

    found: sp.Expr = (1 / curvature(slope, variable)).replace(sp.Pow, guarded)
    return found


def counterexample(function: sp.Expr, variable: sp.Symbol = W) -> float | None:
    """A point at which the function is not convex (its slope falls), among a few hundred; None if there is none."""
    slope = numeric(sp.diff(function, variable), variable)
    points = [sign * 1.07**i for sign in (-1, 1) for i in range(-80, 60)]
    for point in sorted(points, key=abs):
        low, high = _call(slope, point * (1 - STEP)), _call(slope, point * (1 + STEP))
        if low is not None and high is not None and (high - low) * (1 if point > 0 else -1) < -1e-12 * max(1.0, abs(high), abs(low)):
            return point
    return None


def jump(slope: Callable[[float], float]) -> tuple[float, float, float] | None:
    """The jump of a derivative and the values around it: at 0, or between numbers of one sign, brought together at its largest rise."""
    edges = (NOTHING, *(math.sinh(t / 4) for t in range(1, 61)))
    positive = tuple(pairwise(edges))
    for span in ((-NOTHING, NOTHING), *positive, *((-high, -low) for low, high in positive)):
        low, high = _steepest(slope, *span) if span[0] * span[1] > 0 else span
        below, above = _call(slope, low), _call(slope, high)
        if below is None or above is None or (size := max(abs(below), abs(above))) > FINITE:
            continue
        if above - below > JUMP + size / FINITE:
            return 0.0 if low < 0 < high else low, below, above
    return None


def _steepest(function: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Two numbers close together between which a function that has values from `low` to `high` rises more than between others."""
    below, above = _call(function, low), _call(function, high)
    for _ in range(ROUNDS):
        middle = math.copysign(math.sqrt(low * high), low)
        value = _call(function, middle)
        if below is None or value is None or above is None:
            break
        if value - below > above - value:
            high, above = middle, value
        else:
            low, below = middle, value
    return low, high


def is_onto(function: Callable[[float], float], image: Callable[[float], float]) -> bool:
    """Rises all along the image of the real line, from below 0 to above, where it may leave the floats, and levels off on neither side."""
    values = [_slope_at(function, image(t / 4), t) for t in range(-60, 61)]
    if any(value is None for value in values):
        return False
    known = [value for value in values if value is not None]
    rising = all(low < high or (low == high and math.isinf(low)) for low, high in pairwise(known))
    finite = [value for value in known if math.isfinite(value)]
    if not rising or len(finite) <= 2 * PACE:
        return False
    return _goes_on(finite) and _goes_on([-value for value in reversed(finite)])


def _goes_on(values: Sequence[float]) -> bool:
    """True if values end above 0 and rise to the last at no less than half their pace before: that of a logarithm stays."""
    before, middle, last = values[-1 - 2 * PACE], values[-1 - PACE], values[-1]
    return last > 0 and last - middle > (middle - before) / 2


def _slope_at(function: Callable[[float], float], at: float, side: float) -> float | None:
    """The slope, infinite on its own side where it overflows; None where there is none."""
    try:
        value = function(at)
    except OverflowError:
        return math.copysign(math.inf, side)
    except (ValueError, ZeroDivisionError, TypeError, NameError):
        return None
    return value if value == math.copysign(math.inf, side) else _call(function, at)


def _call(function: Callable[[Any], float], at: float | list[float]) -> float | None:
    try:
        value = function(at)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError, NameError):
        return None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
