"""Activations: functions with a name, a definition in others, and a slope that is called by a name, too."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from miras_compiler.expressions.symbols import Expr, RealFunction, letter, normal_cdf, relu, sigmoid


class Composite(RealFunction):
    """A function of one argument that has a name and a definition in others; its derivative follows from the definition."""

    nargs = 1

    @staticmethod
    def definition(x: Expr) -> Expr:
        """The function written out."""
        raise NotImplementedError

    def fdiff(self, argindex: int = 1) -> Expr:
        x = letter("x")
        return sp.diff(self.definition(x), x).xreplace({x: self.args[0]})


class gelu(Composite):
    """x · normal_cdf(x); its derivative is called gelu′."""

    @staticmethod
    def definition(x: Expr) -> Expr:
        return x * normal_cdf(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return gelu_slope(self.args[0])


class gelu_slope(Composite):
    """gelu′(x) = normal_cdf(x) + x exp(−x²/2) / √(2π)."""

    @staticmethod
    def definition(x: Expr) -> Expr:
        return normal_cdf(x) + x * sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


class gelu_tanh(Composite):
    """x/2 · (1 + tanh(y)) = x · sigmoid(2y) with y = √(2/π) (x + 0.044715 x³); its derivative is called gelu_tanh′."""

    @staticmethod
    def definition(x: Expr) -> Expr:
        return x * sigmoid(2 * sp.sqrt(2 / sp.pi) * (x + sp.Rational(44715, 1000000) * x**3))

    def fdiff(self, argindex: int = 1) -> Expr:
        return gelu_tanh_slope(self.args[0])


class gelu_tanh_slope(Composite):
    """gelu_tanh′(x); 1 − tanh² is 4 sigmoid(2y) sigmoid(−2y), which keeps its digits where tanh is nearly 1."""

    @staticmethod
    def definition(x: Expr) -> Expr:
        twice, cubic = 2 * sp.sqrt(2 / sp.pi), sp.Rational(44715, 1000000)
        inner, slope = twice * (x + cubic * x**3), twice * (1 + 3 * cubic * x**2)
        return sigmoid(inner) + x * sigmoid(inner) * sigmoid(-inner) * slope


class silu(Composite):
    """x · sigmoid(x); its derivative is called silu′."""

    @staticmethod
    def definition(x: Expr) -> Expr:
        return x * sigmoid(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return silu_slope(self.args[0])


class silu_slope(Composite):
    """silu′(x) = s + x s (1 − s), s = sigmoid(x)."""

    @staticmethod
    def definition(x: Expr) -> Expr:
        s = sigmoid(x)
        return s + x * s * (1 - s)


ACTIVATIONS: dict[str, Callable[[Expr], Expr] | None] = {
    "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu, "relu": relu, "tanh": sp.tanh, "identity": None,
}  # fmt: skip
