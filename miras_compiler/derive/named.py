"""Functions that people know by name, found in the expressions that derivation leaves: softmax, its logarithm, the soft threshold."""

from __future__ import annotations

import sympy as sp

from miras_compiler.expressions.symbols import Power0, RealFunction, RowMax, RowSum, magnitude, signum, where_positive


class softmax(RealFunction):
    """exp(x) / Σ exp(x) of a row."""

    nargs = 1


class log_softmax(RealFunction):
    """The logarithm of softmax(x)."""

    nargs = 1


class soft_threshold(RealFunction):
    """`soft_threshold(x, g)`: sign(x) max(0, |x| − g)."""

    nargs = 2


def with_names(expr: sp.Expr) -> sp.Expr:
    """The expression with these functions in place of their definitions, and other shorter spellings."""
    return _even_powers(_odd_powers(_numbers_inside(_thresholds(_logarithms(_distributions(expr))))))


def threshold_of(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """x and g where the expression is x − g above g, x + g below −g, and 0 between."""
    if not isinstance(expr, where_positive) or not isinstance(expr.args[2], where_positive):
        return None
    above, shifted, rest = expr.args
    below, zero, other = rest.args
    if above != shifted or below != other or zero != 0:
        return None
    return sp.expand(above + below) / 2, sp.expand(below - above) / 2


def _thresholds(expr: sp.Expr) -> sp.Expr:
    return expr.replace(lambda e: threshold_of(e) is not None, lambda e: soft_threshold(*(threshold_of(e) or ())))


def _shifted(x: sp.Expr) -> sp.Expr:
    return sp.exp(x - RowMax(x))


def _distributions(expr: sp.Expr) -> sp.Expr:
    """exp(x − max(x)) / Σ exp(x − max(x)), among the factors of a product."""
    for reduction in sorted(expr.atoms(RowMax), key=sp.default_sort_key):
        (x,) = reduction.args
        factors = {_shifted(x), 1 / RowSum(_shifted(x))}
        expr = expr.replace(lambda e, f=factors: isinstance(e, sp.Mul) and f <= set(e.args),
                            lambda e, f=factors, y=x: sp.Mul(*(set(e.args) - f), softmax(y)))  # fmt: skip
    return expr


def _logarithms(expr: sp.Expr) -> sp.Expr:
    """x − max(x) − log Σ exp(x − max(x)), of either sign, among the terms of a sum."""
    for reduction in sorted(expr.atoms(RowMax), key=sp.default_sort_key):
        (x,) = reduction.args
        terms = {x, -reduction, -sp.log(RowSum(_shifted(x)))}
        for sign in (1, -1):
            signed = {sign * term for term in terms}
            expr = expr.replace(lambda e, s=signed: isinstance(e, sp.Add) and s <= set(e.args),
                                lambda e, s=signed, f=sign, y=x: sp.Add(*(set(e.args) - s), f * log_softmax(y)))  # fmt: skip
    return expr


def _even_powers(expr: sp.Expr) -> sp.Expr:
    """|x|⁴ = x⁴."""
    return expr.replace(
        lambda e: isinstance(e, sp.Pow | Power0) and isinstance(e.args[0], magnitude) and e.args[1].is_even and e.args[1].is_positive,
        lambda e: e.args[0].args[0] ** e.args[1],
    )


def _odd_powers(expr: sp.Expr) -> sp.Expr:
    """|x|³ sign(x) = x³."""

    def joined(product: sp.Mul) -> sp.Expr:
        for power in product.args:
            if isinstance(power, sp.Pow | Power0) and isinstance(power.args[0], magnitude) and power.args[1].is_odd:
                (x,) = power.args[0].args
                if power.args[1].is_positive and signum(x) in product.args:
                    return product / power / signum(x) * x ** power.args[1]
        return product

    return expr.replace(lambda e: isinstance(e, sp.Mul), joined)


def _numbers_inside(expr: sp.Expr) -> sp.Expr:
    """2 (x / 2 if c else y / 2) = (x if c else y): a number goes to where it shortens either value."""

    def distributed(product: sp.Expr) -> sp.Expr:
        number, rest = product.as_coeff_Mul()
        for factor in sp.Mul.make_args(rest):
            if number != 1 and isinstance(factor, where_positive):
                condition, *values = factor.args
                inside = where_positive(condition, *(number * value for value in values))
                if sp.count_ops(inside) < sp.count_ops(number * factor):
                    return rest / factor * inside
        return product

    return expr.replace(lambda e: isinstance(e, sp.Mul), distributed)
