"""ψ = (∇F)⁻¹ from the literal regularizer F: solve F'(w) = a, choose the branch that is right at numbers, meet the slice's total."""

from __future__ import annotations

import sympy as sp

from miras_compiler.derive.chain_rule import row_gradient, tidy
from miras_compiler.elements.retention import BregmanRetention, Retention
from miras_compiler.errors import InternalError
from miras_compiler.expressions.formula import is_row
from miras_compiler.expressions.inverse import NoInverseError, closed_inverse
from miras_compiler.expressions.symbols import A, Power0, RowMax, RowSum, W, letter, magnitude, power0, signum, where_positive


def derive_mirror_map(retention: Retention) -> sp.Expr:
    """ψ(A) of one entry, in A and reductions over the entry's slice; as printed where the paper has no regularizer."""
    if retention.space == "primal":
        return A  # the state is read as it is
    generator = retention.generator()
    if generator is None:
        printed = retention.printed_mirror_map()
        if printed is None:
            raise InternalError(f"the retention '{retention.kind}' has neither a regularizer nor a mirror map")
        return tidy(printed)
    total = retention.constraint()
    if generator.has(RowSum):
        slope = tidy(row_gradient(generator, W))
        return _inverse_of_norm(slope) if slope.has(RowSum) else _inverse(slope)
    if generator.has(magnitude) and not isinstance(retention, BregmanRetention):
        return _inverse_with_corner(generator)
    if total is not None:
        return _inverse_on_simplex(generator, total)
    return retention.inverse_map(sp.diff(generator, W)) if isinstance(retention, BregmanRetention) else _inverse(sp.diff(generator, W))


def _inverse(slope: sp.Expr) -> sp.Expr:
    """w with slope(w) = a; for our own regularizers there always is one."""
    try:
        return closed_inverse(slope)
    except NoInverseError as error:
        raise InternalError(f"{slope} {error}") from None


def _inverse_with_corner(generator: sp.Expr) -> sp.Expr:
    """F with a corner at w = 0: both sides inverted by themselves, and 0 for every a between the two slopes at the corner.

    The 0 stands behind a condition of its own, so that a dual state that is no number is not read as 0.
    """
    above = generator.replace(magnitude, lambda x: x)
    below = generator.replace(magnitude, lambda x: -x)
    sides = []
    for side in (above, below):
        slope = sp.diff(side, W)
        sides.append((sp.limit(slope, W, 0), _inverse(slope)))
    (high, right), (low, left) = sides
    return where_positive(A - high, right, where_positive(A - low, sp.Integer(0), left))


def _inverse_on_simplex(generator: sp.Expr, total: sp.Expr) -> sp.Expr:
    """Σ w = total per slice: F'(w) = a − λ, with the multiplier λ of the slice eliminated.

    Closed where a shift of a scales w: w(a − λ) = r(λ) w(a). Then w = total · w(a) / Σ w(a), and a may be shifted by its largest entry.
    """
    weight = _inverse(sp.diff(generator, W))
    ratio = sp.simplify(weight.subs(A, A - letter("shift")) / weight)
    if ratio.has(A):
        raise InternalError(f"the multiplier of Σw does not separate in {weight}")
    shifted = sp.simplify(weight / weight.subs(A, 0)).subs(A, A - RowMax(A))
    return total * shifted / RowSum(shifted)


def _inverse_of_norm(slope: sp.Expr) -> sp.Expr:
    """F of degree 2 in a norm of the slice: F'(w) = c N^γ sign(w)|w|^r with N = Σ |w|^n.

    |w| = (|a| / (c N^γ))^{1/r}; summed, N = (c N^γ)^{−n/r} Σ, with Σ = Σ |a|^{n/r}, so that N = (c^{−n/r} Σ)^{1/(1 + γ n/r)}.
    """
    (reduction,) = slope.atoms(RowSum)
    factors = sp.Mul.make_args(slope)
    n = _exponent(reduction.args[0])
    r = sp.Add(*(_exponent(f) for f in factors if f.has(magnitude) and is_row(f)))
    gamma = sp.Add(*(_exponent(f) for f in factors if f.has(RowSum)))
    c = sp.Mul(*(f for f in factors if f.is_number))
    total = RowSum(power0(magnitude(A), n / r))
    gain = 1 / (1 + gamma * n / r)
    size = power0(magnitude(A), 1 / r) * power0(total, -gamma / r * gain)
    return c ** (-1 / r) * c ** (n / r * gain * gamma / r) * signum(A) * size


def _exponent(factor: sp.Expr) -> sp.Expr:
    """The exponent of a power, 1 of anything else."""
    return factor.args[1] if isinstance(factor, Power0 | sp.Pow) else sp.Integer(1)
