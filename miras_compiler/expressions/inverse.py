"""Inverses of derivatives: w with F'(w) = a, closed where a solver finds it and numbers confirm it, else by bisection.

A solver may lose signs or return several branches; a branch counts only if F'(w(a)) = a at numbers on both sides of 0. F' must take
every real value, and jump over none: the dual state goes anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import sympy as sp

from miras_compiler.expressions.budget import NODES, OutOfCallsError, limited, size
from miras_compiler.expressions.slopes import IMAGES, gain, in_sympy, is_onto, jump, numeric, steadied
from miras_compiler.expressions.symbols import A, RealFunction, W, letter, magnitude, power0, sigmoid, signum

VOCABULARY = (sp.exp, sp.log, sp.tanh, sp.sinh, sp.cosh, sp.asinh, sp.atanh)

PROBES = tuple(sp.Rational(*pair) for pair in ((-41, 3), (-7, 3), (-1, 4), (1, 3), (9, 4), (40, 3)))


class NoInverseError(Exception):
    """Why there is no inverse, in words that follow "the generator"."""


class newton_inverse(RealFunction):
    """`newton_inverse(Lambda(w, F'(w)), kind, a)`: w with F'(w) = a, found numerically; `kind` numbers the domain in `slopes.IMAGES`."""

    nargs = 3

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        slope = self.args[0]
        (w,) = slope.variables
        return gain(slope.expr, w).xreplace({w: self})


@lru_cache(maxsize=256)  # a spec is checked and then derived
def closed_inverse(slope: sp.Expr, variable: sp.Symbol = W, function: sp.Expr | None = None) -> sp.Expr:
    """w(a) in A, where the `function` that has this slope is real; raises NoInverseError."""
    _refuse_jumps(numeric(slope, variable))
    nodes = size(slope)
    if nodes > NODES:
        raise NoInverseError(
            f"has a derivative of more than {NODES} numbers, letters and operations, too many to look for a closed inverse"
        )
    try:
        return _solved(slope, variable, function)
    except OutOfCallsError:
        what = (
            f"has a derivative of {nodes} numbers, letters and operations for which the search for a closed inverse does not come to an end"
        )
        raise NoInverseError(what) from None


def _solved(slope: sp.Expr, variable: sp.Symbol, function: sp.Expr | None) -> sp.Expr:
    if slope.is_polynomial(variable) and sp.degree(slope, variable) == 1:
        return (A - slope.subs(variable, 0)) / sp.diff(slope, variable)
    candidates: list[sp.Expr] = []
    right: list[sp.Expr] = []
    stopped: OutOfCallsError | None = None
    for solve in (_candidates, _mirrored_candidates):
        try:
            with limited():
                found = solve(slope, variable)
                candidates += found
                right += [_written_stably(each) for each in found if _solves(slope, variable, each) and _is_real(function, variable, each)]
                for candidate in right:
                    if _keeps_digits(candidate):
                        return candidate
        except OutOfCallsError as error:  # the other solver may come to an end
            stopped = error
    if stopped:
        raise stopped
    if right:
        raise NoInverseError("has a derivative whose closed inverse cancels in floating point")
    missing = [probe for probe in PROBES if candidates and not any(_value(c, A, probe) is not None for c in candidates)]
    if missing:
        raise NoInverseError(f"has a derivative that does not take the value {missing[0]}, so that the map does not reach every dual state")
    raise NoInverseError("has a derivative without a closed inverse")


def closed_ratio(slope: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """The same for a derivative on the positive numbers; values below its range are mapped below 0. Raises NoInverseError."""
    inverse = closed_inverse(slope, variable)
    for probe in PROBES:
        value = _value(inverse, A, probe)
        if probe > 0 and value is not None and value < 0:
            raise NoInverseError(f"has a derivative that does not take the value {probe} at positive {variable}, where ratios lie")
    return inverse


def _candidates(slope: sp.Expr, variable: sp.Symbol) -> list[sp.Expr]:
    """The solutions of a solver, and for an odd derivative those for positive w, mirrored."""
    above = slope.replace(magnitude, lambda x: x).replace(signum, lambda _: sp.Integer(1))
    found: list[sp.Expr] = []
    for equation in dict.fromkeys((slope, above)):
        try:
            found += [each for each in sp.solve(equation - A, variable) if not each.atoms(sp.Function) - each.atoms(*VOCABULARY)]
        except (NotImplementedError, TypeError):  # the latter where sympy, on its way to Lambert's W, compares exponents that have letters
            continue
    if _is_odd(slope, variable):
        found += [_mirrored(each, A) for each in list(found)]
    return found


def _mirrored_candidates(slope: sp.Expr, variable: sp.Symbol) -> list[sp.Expr]:
    """For an odd derivative, solutions for positive w and a: √w = a has the solution a², asinh(w) = a sinh(a)."""
    if not _is_odd(slope, variable):
        return []
    w, a = sp.Symbol("w", positive=True), sp.Symbol("a", positive=True)
    plain = sp.simplify(in_sympy(slope).subs(variable, w))
    try:
        found = sp.solve(plain - a, w)
    except (NotImplementedError, TypeError):
        return []
    return [_mirrored(each, a) for each in found if not each.atoms(sp.Function) - each.atoms(*VOCABULARY)]


def _is_odd(slope: sp.Expr, variable: sp.Symbol) -> bool:
    return bool(sp.simplify(in_sympy(slope).subs(variable, -variable) + in_sympy(slope)) == 0)


def _mirrored(solution: sp.Expr, dual: sp.Symbol) -> sp.Expr:
    """The odd function that is `solution` in the letter `dual` where that is positive."""
    if sp.simplify(solution + solution.subs(dual, -dual)) == 0:
        return solution.subs(dual, A)
    return signum(A) * _guarded(solution.subs(dual, letter("size"))).subs(letter("size"), magnitude(A))


def _guarded(expr: sp.Expr) -> sp.Expr:
    """Fractional powers that are 0 at 0, and so are their derivatives."""
    return expr.replace(lambda e: isinstance(e, sp.Pow) and not e.exp.is_integer, lambda e: power0(e.base, e.exp))


def _written_stably(expr: sp.Expr) -> sp.Expr:
    """exp(a)/(exp(a) + 1) overflows where sigmoid(a) does not, log(a + √(a² + 1)) cancels where asinh(a) does not."""
    for plain, stable in ((1 / (1 + sp.exp(-A)), sigmoid(A)), (sp.asinh(A), sp.asinh(A)), (sp.tanh(A), sp.tanh(A))):
        values = [(_value(expr, A, probe), _value(plain, A, probe)) for probe in PROBES]
        if all(one is not None and other is not None and abs(one - other) < 1e-20 for one, other in values):
            return stable
    return sp.simplify(expr)


def numeric_inverse(slope: sp.Expr, variable: sp.Symbol = W) -> sp.Expr:
    """w(a) as a `newton_inverse`; raises NoInverseError if the derivative does not rise from −∞ to ∞ on any domain that we know."""
    slope = steadied(slope)
    function = numeric(slope, variable)
    _refuse_jumps(function)
    for kind, image in enumerate(IMAGES):
        if is_onto(function, image):
            return newton_inverse(sp.Lambda(variable, slope), sp.Integer(kind), A)
    raise NoInverseError("has a derivative that does not rise from −∞ to ∞ on the real line, the positive numbers, (0, 1) or (−1, 1)")


def _refuse_jumps(slope: Callable[[float], float]) -> None:
    found = jump(slope)
    if found is not None:
        at, below, above = found
        raise NoInverseError(f"has a derivative that jumps at {at:.3g}, from {below:.3g} to {above:.3g}, and takes no value in between")


def _solves(slope: sp.Expr, variable: sp.Symbol, candidate: sp.Expr) -> bool:
    """True if slope(candidate(a)) = a at every probe."""
    for probe in PROBES:
        w = _value(candidate, A, probe)
        value = None if w is None else _value(slope, variable, w)
        if value is None or abs(value - probe) > 1e-10 * (1 + abs(probe)):
            return False
    return True


def _is_real(function: sp.Expr | None, variable: sp.Symbol, candidate: sp.Expr) -> bool:
    """True if the function has a value at every probe's solution: −log(w) has a slope at w < 0, and no value."""
    return function is None or all(_value(function, variable, w) is not None for w in (_value(candidate, A, probe) for probe in PROBES))


def _keeps_digits(candidate: sp.Expr) -> bool:
    """True if double precision is enough to evaluate the inverse, also far out."""
    import numpy as np  # not on the way of a check that has nothing to invert

    plain = in_sympy(candidate)
    function = sp.lambdify(A, plain, "numpy")
    for probe in (*PROBES, *(sign * sp.Integer(10) ** power for power in (3, 6) for sign in (-1, 1))):
        with np.errstate(all="ignore"):
            value = float(function(np.float64(float(probe))))
        exact_value = _value(candidate, A, probe)
        if exact_value is None or abs(exact_value) >= 1e300:
            continue
        right = float(exact_value)  # sympy compares no NaN
        if not abs(value - right) <= 1e-9 * abs(right) + 1e-300:
            return False
    return True


def _value(expr: sp.Expr, variable: sp.Symbol, at: sp.Expr) -> sp.Expr | None:
    value = sp.N(in_sympy(expr).subs(variable, at), 40)
    return value if value.is_number and value.is_real and value.is_finite else None
