"""Entrywise expressions as text: sums, products, powers and functions, in any dialect; subclasses write the symbols."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import sympy as sp

from miras_compiler.derive.dialects import LATEX, Dialect
from miras_compiler.derive.named import with_names
from miras_compiler.errors import InternalError
from miras_compiler.expressions.inverse import newton_inverse
from miras_compiler.expressions.symbols import Power0
from miras_compiler.ir.nodes import AXIS_ORDER, Axes

SUM, BIG_SUM, PRODUCT, POWER, ATOM = range(5)  # how tightly a text binds
Text = tuple[str, int]
NAMES = {
    "gelu_slope": "gelu′", "gelu_tanh_slope": "gelu_tanh′", "silu_slope": "silu′", "signum": "sign", "normal_cdf": "Φ", "larger": "max",
    "smaller": "min", "soft_threshold": "soft",
}  # fmt: skip
LONGEST_DECIMAL = 7  # digits


def number_text(value: sp.Rational) -> str:
    """2, 1/2, 0.3, 3.4445, 1e-06, 1/3: a decimal where it is exact and no small fraction."""
    if value.q == 1 or value.q in (2, 3, 4, 8):
        return str(value)
    rest = value.q
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    short = f"{float(value):.{LONGEST_DECIMAL}g}"
    return short if rest == 1 and sp.Rational(short) == value else str(value)


class ExpressionWriter:
    """Subclasses write a symbol, and give the channels over which a factor runs."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.letters: dict[str, str] = {}
        self.norms: dict[str, str] = {}  # by the text of their squares

    def symbol(self, symbol: sp.Symbol) -> Text:
        raise NotImplementedError

    def channels_of(self, expr: sp.Expr) -> Axes:
        raise NotImplementedError

    def at_least(self, text: Text, strength: int) -> str:
        return text[0] if text[1] >= strength else f"({text[0]})"

    def number_text(self, value: sp.Expr) -> Text:
        if isinstance(value, sp.Rational):
            text = number_text(value)
            strength = SUM if value < 0 else ATOM if text.isdecimal() or "." in text or "e" in text else PRODUCT
            return self.dialect.number(text), strength
        if value == sp.pi:
            return self.dialect.name("π", ""), ATOM
        if value == sp.E:  # e is the residual
            return self.dialect.call("exp", "", "1"), ATOM
        raise InternalError(f"no notation for the number {value}")

    def expression(self, expr: sp.Expr) -> Text:
        return self.named(_with_names(expr))

    def named(self, expr: sp.Expr) -> Text:
        if isinstance(expr, sp.Symbol):
            return self.symbol(expr)
        if isinstance(expr, sp.Rational) or expr in (sp.pi, sp.E):
            return self.number_text(expr)
        if isinstance(expr, sp.Add):
            return self.sum(expr)
        if isinstance(expr, sp.Mul):
            return self.product(expr)
        if isinstance(expr, sp.Pow | Power0):
            return self.power(expr)
        return self.function(expr)

    def function(self, expr: sp.Expr) -> Text:
        d, name = self.dialect, type(expr).__name__
        if isinstance(expr, newton_inverse):
            return d.call("F′⁻¹", "", self.named(expr.args[2])[0]), ATOM
        if name == "where_positive":
            condition, x, y = expr.args
            return d.cases(self.named(x)[0], self.condition(condition), self.named(y)[0]), ATOM
        if name == "magnitude":
            return d.magnitude(self.named(expr.args[0])[0]), ATOM
        if name == "rsqrt":
            return d.fraction("1", d.root(self.named(expr.args[0])[0])), PRODUCT
        if name == "step":
            return d.where(self.condition(expr.args[0])), ATOM
        if name == "attains":
            x, largest = (self.named(argument)[0] for argument in expr.args)
            return d.where(f"{x} {d.less['≥']} {largest}"), ATOM
        if not isinstance(expr, sp.Function):
            raise InternalError(f"no notation for {expr}")
        return d.call(NAMES.get(name, name), "", ", ".join(self.named(argument)[0] for argument in expr.args)), ATOM

    def sum(self, expr: sp.Expr) -> Text:
        """Terms with a plus first; of these, products of many factors first."""
        terms = sorted(expr.as_ordered_terms(), key=lambda term: (term.could_extract_minus_sign(), -len(sp.Mul.make_args(term))))
        text = ""
        for term in terms:
            negative = term.could_extract_minus_sign()
            part = self.at_least(self.named(-term if negative else term), BIG_SUM)
            sign = self.dialect.sign if negative else "+"
            text = f"{text} {sign} {part}" if text else f"{sign}{part}" if negative else part
        return text, SUM

    def product(self, expr: sp.Expr) -> Text:
        """A sign, then a fraction, or factors: numbers, then factors with a value per channel."""
        d = self.dialect
        if not isinstance(expr, sp.Mul):
            return self.named(expr)
        if expr.could_extract_minus_sign():
            return d.sign + self.at_least(self.named(-expr), BIG_SUM), SUM
        ratio = expr.as_coeff_Mul()[0]
        below_1 = sp.Integer(ratio.q) if isinstance(ratio, sp.Rational) and "/" in number_text(ratio) else sp.Integer(1)
        divisors = [factor for factor in sp.Mul.make_args(expr) if isinstance(factor, sp.Pow | Power0) and factor.args[1].is_negative]
        denominator = sp.Mul(below_1, *(inverse_power(factor) for factor in divisors))
        numerator = below_1 * sp.Mul(*(factor for factor in sp.Mul.make_args(expr) if factor not in divisors))
        if denominator != 1:
            above, below = self.named(numerator), self.named(denominator)
            if d is LATEX:
                return d.fraction(above[0], below[0]), PRODUCT
            return d.fraction(self.at_least(above, PRODUCT), self.at_least(below, POWER)), PRODUCT
        return self.factors(sorted(expr.as_ordered_factors(), key=lambda factor: not factor.is_number))

    def factors(self, factors: list[sp.Expr]) -> Text:
        d = self.dialect
        scalars: list[str] = []
        rows: dict[Axes, list[str]] = {}
        for factor in factors:
            text = self.at_least(self.named(factor), POWER)
            axes = self.channels_of(factor)
            (rows.setdefault(axes, []) if axes else scalars).append(text)
        groups = [rows[axes] for axes in sorted(rows, key=lambda axes: (axes != first_channel(rows), -len(axes)))]
        if len(groups) == 2 and not set.intersection(*map(set, rows)):
            one, two = (d.times.join(group) for group in groups)
            joined = d.outer.join([one, two if len(groups[1]) == 1 else f"({two})"])
        else:
            joined = d.times.join(text for group in groups for text in group)
        return d.dot.join([*scalars, *([joined] if joined else [])]), PRODUCT

    def power(self, expr: sp.Expr) -> Text:
        d = self.dialect
        base, exponent = expr.args
        if exponent.is_number and exponent < 0:
            return d.fraction("1", self.at_least(self.named(inverse_power(expr)), POWER)), PRODUCT
        if exponent == sp.Rational(1, 2):
            return self.root(self.named(base))
        if isinstance(exponent, sp.Rational) and exponent.q == 2 and d is not LATEX:
            return self.root((d.power(self.at_least(self.named(base), ATOM), str(exponent.p)), POWER))
        return d.power(self.at_least(self.named(base), ATOM), self.named(exponent)[0]), POWER

    def squared_norm(self, inside: str, axis: str) -> Text:
        norm = self.dialect.norm(inside, axis)
        text = self.dialect.power(norm, "2")
        self.norms[text] = norm
        return text, POWER

    def root(self, text: Text) -> Text:
        """Of one squared norm, the norm."""
        return (self.norms[text[0]] if text[0] in self.norms else self.dialect.root(text[0])), ATOM

    def condition(self, expr: sp.Expr) -> str:
        """ "‖e‖ > δ" for ‖e‖ − δ > 0."""
        terms = sp.Add.make_args(expr)
        above = sp.Add(*(term for term in terms if not term.could_extract_minus_sign()))
        below = sp.Add(*(-term for term in terms if term.could_extract_minus_sign()))
        return f"{self.named(above)[0]} {self.dialect.less['>']} {self.named(below)[0]}"


def first_channel(rows: Iterable[Axes]) -> Axes:
    """Of factors over one channel each, or over a whole matrix: the channel that runs along the rows of the matrix. It stands first."""
    single = [axes for axes in rows if len(axes) == 1]
    return min(single, key=lambda axes: AXIS_ORDER.index(axes[0]), default=())


def inverse_power(factor: sp.Expr) -> sp.Expr:
    """The divisor that a factor with a negative exponent stands for."""
    base, exponent = factor.args
    return base if exponent == -1 else type(factor)(base, -exponent)


@functools.cache
def _with_names(expr: sp.Expr) -> sp.Expr:
    return with_names(expr)
