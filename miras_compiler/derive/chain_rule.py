"""∂ℓ/∂u from the literal loss of an attentional bias: the chain rule for a scalar with reductions over a row."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial, reduce
from operator import or_

import sympy as sp

from miras_compiler.elements.base import exact
from miras_compiler.elements.bias import AttentionalBias
from miras_compiler.expressions.symbols import (
    E,
    Power0,
    RowMax,
    RowSum,
    U,
    V,
    attains,
    letter,
    magnitude,
    power0,
    row_norm,
    signum,
    where_positive,
)

TERMS = 500  # of a sum; longer ones are never shorter than the product that they are


def derive_bias_derivative(bias: AttentionalBias, positive: frozenset[sp.Expr] = frozenset()) -> sp.Expr:
    """∂ℓ/∂u of one coordinate, in e = u − v, u, v, gates and reductions over the row; as printed where the paper prints no gradient.

    `positive` are the letters of gates that are never 0.
    """
    printed = bias.derivative()
    loss = in_residual(bias.loss())
    slope = tidy(in_residual(printed) if printed is not None else row_gradient(loss, U) + row_gradient(loss, E), positive)
    if bias.clip is None:
        return slope
    size = row_norm(slope)
    # the slope over its length, in one: of the length's inverse a large gradient would meet the slope first
    return where_positive(size - exact(bias.clip), exact(bias.clip) * slope * power0(size, -1), slope)


def in_residual(expr: sp.Expr) -> sp.Expr:
    """The expression in e alone where u and v occur as u − v only, else with e for every u − v in it."""
    shifted = expr.xreplace({U: E + V})
    return expr.xreplace({U - V: E}) if shifted.has(V) else shifted


def row_gradient(scalar: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """The gradient of a scalar of a row to the coordinate x_j, as an expression at j.

    A reduction R = Σ_j f(x_j, R') hands on f's own derivative at j, and the derivatives of the reductions R' inside its argument.
    """
    return sp.Add(*(slope * _reduction_gradient(reduction, x) for reduction, slope in _slopes(scalar)))


def _reduction_gradient(reduction: sp.Expr, x: sp.Symbol) -> sp.Expr:
    (inside,) = reduction.args
    weight: sp.Expr = sp.Integer(1)
    if isinstance(reduction, RowMax):
        attained = attains(inside, reduction)
        weight = attained / RowSum(attained)
    result = weight * _partial(inside, x)
    for inner, slope in _slopes(inside):
        result += row_sum(weight * slope) * _reduction_gradient(inner, x)
    return result


def _slopes(expr: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
    """Every outermost reduction of the expression with the derivative to it, where that is not 0."""
    slopes = ((reduction, _partial(expr, reduction)) for reduction in _outermost(expr))
    return [(reduction, slope) for reduction, slope in slopes if slope != 0]


def _partial(expr: sp.Expr, variable: sp.Expr) -> sp.Expr:
    """∂ expr / ∂ variable (a letter, or a reduction as a whole), with all other reductions held."""
    names = {reduction: letter(f"reduced{i}") for i, reduction in enumerate(_outermost(expr))}
    slope = sp.diff(expr.xreplace(names), names.get(variable, variable))
    return slope.xreplace({name: reduction for reduction, name in names.items()})


def row_sum(expr: sp.Expr) -> sp.Expr:
    """Σ_j of an expression, with the factors that do not depend on the coordinate outside."""
    if expr == 0:
        return sp.Integer(0)
    inside = [factor for factor in sp.Mul.make_args(expr) if _has_letters(factor)]
    outside = [factor for factor in sp.Mul.make_args(expr) if not _has_letters(factor)]
    return sp.Mul(*outside, RowSum(sp.Mul(*inside)))


def _has_letters(expr: sp.Expr) -> bool:
    """True if the expression may differ from coordinate to coordinate: a gate may have a value for each."""
    return isinstance(expr, sp.Symbol) or (not isinstance(expr, RowSum | RowMax) and any(map(_has_letters, expr.args)))


def _outermost(expr: sp.Expr) -> list[sp.Expr]:
    """The reductions that no other reduction contains, in canonical order."""
    if isinstance(expr, RowSum | RowMax):
        return [expr]
    found = {reduction for argument in expr.args for reduction in _outermost(argument)}
    return sorted(found, key=sp.default_sort_key)


def tidy(expr: sp.Expr, positive: frozenset[sp.Expr] = frozenset()) -> sp.Expr:
    """The same expression, shorter: a table of identities, applied until nothing changes. `positive` are letters that are never 0."""
    expanded = sp.expand_mul(expr) if _most_terms(expr) <= TERMS else expr
    shorten = partial(_shorten, positive=positive)
    shorter = min(expr, expanded, key=sp.count_ops).replace(lambda e: isinstance(e, sp.Function | sp.Pow | sp.Mul), shorten)
    return shorter if shorter == expr else tidy(shorter, positive)


def _most_terms(expr: sp.Basic) -> int:
    """At most so many terms has the longest sum that expanding makes, under a fraction line, too.

    Of a product of n sums of two, 2^n, but not more than there are different products of powers: n + 1 of one letter.
    """
    return max([min(_terms(expr), math.prod(n + 1 for n in _degrees(expr).values())), *map(_most_terms, expr.args)])


def _terms(expr: sp.Basic) -> int:
    if isinstance(expr, sp.Add):
        return sum(map(_terms, expr.args))
    if isinstance(expr, sp.Mul):
        return math.prod(map(_terms, expr.args))
    return _terms(expr.base) if isinstance(expr, sp.Pow) and expr.exp == -1 else 1


def _degrees(expr: sp.Basic) -> Counter[sp.Basic]:
    """The highest power of everything that an expanded expression is a polynomial of."""
    if isinstance(expr, sp.Add):
        return reduce(or_, map(_degrees, expr.args))
    if isinstance(expr, sp.Mul):
        return sum(map(_degrees, expr.args), Counter())
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        return Counter({each: n * abs(int(expr.exp)) for each, n in _degrees(expr.base).items()})
    return Counter({} if expr.is_number else {expr: 1})


def _shorten(expr: sp.Expr, positive: frozenset[sp.Expr]) -> sp.Expr:
    match expr:
        case RowSum(args=(inside,)):
            return row_sum(inside)  # Σ c f = c Σ f
        case Power0(args=(base, exponent)) if isinstance(base, magnitude) and exponent.is_Integer and exponent % 2 == 0:
            return power0(base.args[0], exponent)  # |x|^2n = x^2n
        case sp.Pow(base=base, exp=exponent) if isinstance(base, magnitude) and exponent.is_Integer and exponent % 2 == 0:
            return base.args[0] ** exponent
        case sp.Mul():
            return _shorten_product(expr, positive)
    return expr


def _shorten_product(product: sp.Mul, positive: frozenset[sp.Expr]) -> sp.Expr:
    factors = set(product.args)
    for base in dict.fromkeys(factor.args[0] for factor in product.args if isinstance(factor, Power0)):
        powers = {factor: n for factor in product.args if (n := _exponent(factor, base, base in positive)) is not None}
        if len(powers) > 1:  # 1/x · 1/x² = 1/x³, and where x is never 0, x² · 1/x² = 1
            return sp.Mul(*(factor for factor in product.args if factor not in powers), power0(base, sum(powers.values())))
    for factor in product.args:
        x = factor.args[0] if factor.args else None
        if isinstance(factor, signum) and magnitude(x) in factors:
            return product / factor / magnitude(x) * x  # sign(x) |x| = x
        if isinstance(factor, sp.sinh) and 1 / sp.cosh(x) in factors:
            return product / factor * sp.cosh(x) * sp.tanh(x)  # sinh(x) / cosh(x) = tanh(x)
    return product


def _exponent(factor: sp.Expr, base: sp.Expr, never_0: bool) -> sp.Expr | None:
    """The exponent of a reciprocal power of the base, and of any power where the base is never 0; None for other factors."""
    if isinstance(factor, Power0) and factor.args[0] == base and factor.args[1].is_Integer and factor.args[1] < 0:
        return factor.args[1]
    if never_0 and factor.as_base_exp()[0] == base and factor.as_base_exp()[1].is_Integer:
        return factor.as_base_exp()[1]
    return None
