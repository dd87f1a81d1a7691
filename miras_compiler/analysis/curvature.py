"""Proofs that an expression is convex in u for every v and every value of the gates, by a few composition rules; in doubt, no proof.

A sum of convex functions is convex, and so is a convex function that rises where its argument is convex, falls where it is concave, or
has an affine argument. Roots of sums of powers (norms) and logarithms of sums of exponentials have rules of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal, NamedTuple

import sympy as sp

from miras_compiler.expressions.symbols import Power0, RowMax, RowSum, U, larger, magnitude, sigmoid, signum, smaller, softplus

Range = tuple[float, float]


class Curvature(NamedTuple):
    """Facts about an expression in u; an affine one is convex and concave."""

    convex: bool = False
    concave: bool = False
    nonnegative: bool = False
    nonpositive: bool = False

    @property
    def affine(self) -> bool:
        return self.convex and self.concave

    @property
    def convex_size(self) -> bool:
        """True if the absolute value is convex."""
        return self.affine or (self.convex and self.nonnegative) or (self.concave and self.nonpositive)


class Bend(NamedTuple):
    """A function of one number on the range of its argument; `even` falls up to 0 and rises from there."""

    curve: Literal["convex", "concave"]
    slope: Literal["rising", "even"] = "rising"


Ranges = Mapping[str, Range]  # of gates
Gates = frozenset[tuple[str, Range]]
Sign = tuple[bool, bool]  # nonnegative, nonpositive


def curvature_of(expr: sp.Expr, gates: Ranges) -> Curvature:
    """The facts that the rules prove about the expression, with gates anywhere in their ranges."""
    return _curvature_of(expr, frozenset(gates.items()))


@functools.lru_cache(maxsize=10_000)
def _curvature_of(expr: sp.Expr, gates: Gates) -> Curvature:
    inner = [_curvature_of(argument, gates) for argument in expr.args]
    sign = _sign(expr, inner, gates)
    if U not in expr.free_symbols or expr == U:
        return Curvature(True, True, *sign)
    match expr:
        case sp.Add():
            return Curvature(all(s.convex for s in inner), all(s.concave for s in inner), *sign)
        case sp.Mul():
            return _product(expr, inner, sign)
        case RowSum():
            return Curvature(inner[0].convex, inner[0].concave, *sign)
        case RowMax() | larger():
            return Curvature(all(s.convex for s in inner), False, *sign)
        case smaller():
            return Curvature(False, all(s.concave for s in inner), *sign)
        case sp.log() if _is_log_convex(expr.args[0], gates):
            return Curvature(True, False, *sign)
        case Power0() if _is_norm(expr.args[0], expr.args[1], gates):
            return Curvature(True, False, *sign)
    return _composition(_bend(expr, inner[0]), inner[0], sign)


def _product(expr: sp.Mul, factors: list[Curvature], sign: Sign) -> Curvature:
    """A factor with u among factors without."""
    moving = [each for factor, each in zip(expr.args, factors, strict=True) if U in factor.free_symbols]
    fixed = [each for factor, each in zip(expr.args, factors, strict=True) if U not in factor.free_symbols]
    if len(moving) > 1:
        return Curvature(False, False, *sign)
    rising, falling = _sign_of_product(fixed)
    (inner,) = moving
    convex = inner.affine or (inner.convex and rising) or (inner.concave and falling)
    concave = inner.affine or (inner.concave and rising) or (inner.convex and falling)
    return Curvature(convex, concave, *sign)


def _composition(bend: Bend | None, inner: Curvature, sign: Sign) -> Curvature:
    if bend is None:
        return Curvature(False, False, *sign)
    if bend.slope == "even":
        return Curvature(bend.curve == "convex" and inner.convex_size, False, *sign)
    return Curvature(bend.curve == "convex" and inner.convex, bend.curve == "concave" and inner.concave, *sign)


def _bend(expr: sp.Expr, inner: Curvature) -> Bend | None:
    """The outermost function on the range of its argument; None where no rule knows it."""
    match expr:
        case sp.exp() | softplus():
            return Bend("convex")
        case sp.log():
            return Bend("concave")
        case magnitude() | sp.cosh():
            return Bend("convex", "even")
        case sp.Pow(exp=n) if n.is_Integer and n > 0:
            return Bend("convex", "even") if n % 2 == 0 else _on_one_side(inner, "convex")
        case Power0(args=(_, p)) if p > 1:
            return Bend("convex")  # 0 at negative bases
        case Power0(args=(_, p)) if 0 < p < 1 and inner.nonnegative:
            return Bend("concave")
        case sp.sinh():
            return _on_one_side(inner, "convex")
        case sp.tanh() | sp.asinh() | sp.atan() | sp.erf() | sigmoid():
            return _on_one_side(inner, "concave")
    return None


def _on_one_side(inner: Curvature, above: Literal["convex", "concave"]) -> Bend | None:
    """A rising function that is bent one way above 0 and the other way below."""
    if inner.nonnegative:
        return Bend(above)
    return Bend("concave" if above == "convex" else "convex") if inner.nonpositive else None


def _is_norm(base: sp.Expr, exponent: sp.Expr, gates: Gates) -> bool:
    """(Σ |x|^q)^p with q ≥ 1 and p q ≥ 1: a power of a q-norm of rows whose absolute values are convex."""
    degrees = {power.args[1] for power in base.atoms(sp.Pow, Power0)}
    return any(q >= 1 and exponent * q >= 1 and _is_sum_of_powers(base, q, gates) for q in degrees)


def _is_sum_of_powers(expr: sp.Expr, q: sp.Expr, gates: Gates) -> bool:
    found = _curvature_of(expr, gates)
    if U not in expr.free_symbols:
        return found.nonnegative
    match expr:
        case sp.Add() | RowSum():
            return all(_is_sum_of_powers(term, q, gates) for term in expr.args)
        case sp.Mul():
            moving = [factor for factor in expr.args if U in factor.free_symbols]
            fixed = [_curvature_of(factor, gates) for factor in expr.args if U not in factor.free_symbols]
            return len(moving) == 1 and _sign_of_product(fixed)[0] and _is_sum_of_powers(moving[0], q, gates)
        case sp.Pow(args=(base, n)) | Power0(args=(base, n)) if n == q:
            inner = _curvature_of(base, gates)
            return inner.convex_size if n.is_Integer and n % 2 == 0 else inner.convex and inner.nonnegative
    return False


def _is_log_convex(expr: sp.Expr, gates: Gates) -> bool:
    """True if the logarithm is convex: so are those of sums, products and positive powers of such expressions."""
    if U not in expr.free_symbols:
        return _curvature_of(expr, gates).nonnegative
    match expr:
        case sp.exp(args=(inside,)):
            return _curvature_of(inside, gates).convex
        case sp.cosh(args=(inside,)):
            return _curvature_of(inside, gates).convex_size
        case sp.Add() | sp.Mul() | RowSum() | RowMax() | larger():
            return all(_is_log_convex(argument, gates) for argument in expr.args)
        case sp.Pow(args=(base, n)) | Power0(args=(base, n)) if n > 0:
            return _is_log_convex(base, gates)
    return False


def _sign(expr: sp.Expr, inner: list[Curvature], gates: Gates) -> Sign:
    match expr:
        case sp.Number():
            return bool(expr >= 0), bool(expr <= 0)
        case sp.Symbol():
            low, high = dict(gates).get(expr.name, (-float("inf"), float("inf")))
            return low >= 0, high <= 0
        case sp.Add() | RowSum() | RowMax():
            return all(s.nonnegative for s in inner), all(s.nonpositive for s in inner)
        case larger():
            return any(s.nonnegative for s in inner), all(s.nonpositive for s in inner)
        case smaller():
            return all(s.nonnegative for s in inner), any(s.nonpositive for s in inner)
        case sp.Mul():
            return _sign_of_product(inner)
        case sp.Pow(exp=n) | Power0(args=(_, n)):
            return not n.is_Integer or n % 2 == 0 or inner[0].nonnegative, n.is_Integer and n % 2 == 1 and inner[0].nonpositive
        case sp.exp() | sp.cosh() | magnitude() | sigmoid() | softplus():
            return True, False
        case sp.sinh() | sp.tanh() | sp.asinh() | sp.atan() | sp.erf() | signum():
            return inner[0].nonnegative, inner[0].nonpositive
    return False, False


def _sign_of_product(factors: list[Curvature]) -> Sign:
    if not all(factor.nonnegative or factor.nonpositive for factor in factors):
        return False, False
    odd = sum(not factor.nonnegative for factor in factors) % 2 == 1
    return not odd, odd
