"""The letters of the mathematics and the functions that a formula may contain.

Every expression in the compiler, from a user's formula to the tile IR, is a sympy expression over real symbols and the functions
listed here. Each function knows its derivative (`fdiff`), so that sympy differentiates the whole vocabulary. Reductions (`RowSum`,
`RowMax`) run over the coordinates of one row: the value axis of a prediction, or the slice of a weight matrix for a mirror map.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.function import ArgumentIndexError

Expr: TypeAlias = sp.Expr


@functools.cache
def letter(name: str) -> sp.Symbol:
    """The real symbol of that name; the same name always gives the same symbol."""
    return sp.Symbol(name, real=True)


U = letter("u")  # prediction u = M(W; k), per coordinate
V = letter("v")  # value that the memory should return
E = letter("e")  # residual u − v
W = letter("w")  # a weight, in regularizers
A = letter("a")  # its dual, in mirror maps
X = letter("x")  # the input row of a memory or a feature map


class RealFunction(sp.Function):  # type: ignore[misc]  # sympy has no types
    """A function with real values at real arguments."""

    is_real = True


class RowSum(RealFunction):
    """Sum of an entrywise expression over the coordinates of a row."""

    nargs = 1


class RowMax(RealFunction):
    """Largest coordinate of a row; its derivative goes to the coordinates that attain it (shared equally between ties)."""

    nargs = 1


class RowRoot(RealFunction):
    """`RowRoot(Lambda(ζ, f(ζ)), total)`: the ζ for which the sum of f over a row is `total`; f falls in ζ."""

    nargs = 2


class Power0(RealFunction):
    """`base**exponent`, with 0 where the base is 0 (or negative under a fractional exponent), and so are all its derivatives.

    This is the convention of the whole compiler for singular points: e/‖e‖ and |e|^{p-1} are 0 at e = 0, and no NaN can arise in
    an outer gradient.
    """

    nargs = 2

    @classmethod
    def eval(cls, base: Expr, exponent: Expr) -> Expr | None:
        """A power of sympy's own where the base is a number above 0; a reciprocal of a power as one power."""
        if base.is_Pow and base.exp.is_Integer and base.exp > 0 and exponent.is_Integer and exponent < 0:
            return cls(base.base, base.exp * exponent)
        return base**exponent if base.is_number and base.is_positive else None

    def fdiff(self, argindex: int = 1) -> Expr:
        base, exponent = self.args
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return exponent * power0(base, exponent - 1)

    def _eval_power(self, outer: Expr) -> Expr | None:
        """A power of it as one power, where both are 0 at the same bases."""
        base, exponent = self.args
        if outer.is_Integer and outer > 0 and (exponent.is_Integer or not (exponent * outer).is_Integer):
            return power0(base, exponent * outer)
        return None


def power0(base: Expr, exponent: Any) -> Expr:
    """`base**exponent`, guarded at 0 unless the exponent is a non-negative integer."""
    exponent = sp.nsimplify(exponent, rational=True)
    if exponent.is_Integer and exponent >= 0:
        return base**exponent
    return Power0(base, exponent)


class sigmoid(RealFunction):
    """1 / (1 + exp(-x))."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return self * (1 - self)


class softplus(RealFunction):
    """log(1 + exp(x)), without overflow."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return sigmoid(self.args[0])


class normal_cdf(RealFunction):
    """Distribution function of the standard normal, (1 + erf(x/√2)) / 2."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return sp.exp(-(self.args[0] ** 2) / 2) / sp.sqrt(2 * sp.pi)


class rsqrt(RealFunction):
    """1/√x; its derivative is −½ rsqrt(x)³, so that a derivative can use the value that is there already."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return -(self**3) / 2


class step(RealFunction):
    """1 where x > 0, else 0: the derivative of relu. Its own derivative is 0."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return sp.Integer(0)


class attains(RealFunction):
    """1 where x is at least the maximum y, else 0; its derivative is 0.

    Of x and y as they are: a difference would be summed in an order of its own, and miss the maximum by its rounding.
    """

    nargs = 2

    def fdiff(self, argindex: int = 1) -> Expr:
        return sp.Integer(0)


class relu(RealFunction):
    """max(x, 0)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return step(self.args[0])


class magnitude(RealFunction):
    """|x|, with derivative sign(x), which is 0 at 0."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return signum(self.args[0])


class signum(RealFunction):
    """-1, 0 or 1; its derivative is 0."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Expr:
        return sp.Integer(0)


class smaller(RealFunction):
    """min(x, y); at a tie the derivative goes to y."""

    nargs = 2

    @classmethod
    def eval(cls, x: Expr, y: Expr) -> Expr | None:
        return sp.Min(x, y) if x.is_Number and y.is_Number else x if x == y else None

    def fdiff(self, argindex: int = 1) -> Expr:
        x, y = self.args
        return step(y - x) if argindex == 1 else 1 - step(y - x)


class larger(RealFunction):
    """max(x, y); at a tie the derivative goes to y."""

    nargs = 2

    @classmethod
    def eval(cls, x: Expr, y: Expr) -> Expr | None:
        return sp.Max(x, y) if x.is_Number and y.is_Number else x if x == y else None

    def fdiff(self, argindex: int = 1) -> Expr:
        x, y = self.args
        return step(x - y) if argindex == 1 else 1 - step(x - y)


class where_positive(RealFunction):
    """`where_positive(c, x, y)`: x where c > 0, else y. No derivative flows into the condition."""

    nargs = 3

    @classmethod
    def eval(cls, condition: Expr, x: Expr, y: Expr) -> Expr | None:
        return x if x == y else None

    def _eval_derivative(self, s: sp.Symbol) -> Expr:
        condition, x, y = self.args
        return where_positive(condition, x.diff(s), y.diff(s))


def row_norm(x: Expr) -> Expr:
    """‖x‖ of a row, with derivative 0 at x = 0."""
    return Power0(RowSum(x**2), sp.Rational(1, 2))
