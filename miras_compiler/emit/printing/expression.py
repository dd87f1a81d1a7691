"""Entrywise expressions as code: sums, products, quotients and inverses, which every backend writes alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import ClassVar, NamedTuple

import sympy as sp

from miras_compiler.expressions.inverse import newton_inverse
from miras_compiler.expressions.slopes import gain
from miras_compiler.expressions.symbols import Power0, RealFunction

SUM, PRODUCT, UNARY, POWER, ATOM = range(5)  # how tightly a piece of code binds


class divisor0(RealFunction):
    """`divisor0(base, exponent)`: the divisor of a quotient in place of a factor Power0(base, −exponent)."""

    nargs = 2


def divided_by(divisor: divisor0) -> list[divisor0]:
    """The divisors in turn: x twice in place of x², which leaves the floats before x does."""
    base, exponent = divisor.args
    return [divisor0(base, sp.Integer(1))] * int(exponent) if exponent.is_Integer else [divisor]


class Code(NamedTuple):
    """`size` orders factors: small tiles are multiplied first."""

    text: str
    strength: int = ATOM
    size: int = 0

    def at_least(self, strength: int) -> str:
        return self.text if self.strength >= strength else f"({self.text})"


class InverseText(NamedTuple):
    """The text of a backend's helper that inverts a derivative: its name, the images of the real line, each with its span and the text that
    keeps a step inside, and its definition with holes for name, span, slope, image and step.
    """

    name: str
    images: Sequence[tuple[str, str, str]]
    definition: str


class ExpressionPrinter(ABC):
    """Prints expressions and collects the helper functions that the code calls, by name, in `helpers`."""

    inverse: ClassVar[InverseText]

    def __init__(self) -> None:
        self.helpers: dict[str, str] = {}
        self.known: tuple[Mapping[sp.Symbol, Code], dict[sp.Expr, Code]] = ({}, {})

    def expression(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> Code:
        """The code of an expression; a part that is asked for twice on the way is printed once."""
        before = self.known
        if before[0] is not bound:
            self.known = (bound, {})
        known = self.known[1]
        try:
            if expr not in known:
                known[expr] = self.printed(expr, bound)
            return known[expr]
        finally:
            self.known = before

    def printed(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> Code:
        if expr in bound:
            return bound[expr]
        if isinstance(expr, sp.Symbol):
            return Code(expr.name)
        if is_constant_number(expr):
            return number(expr)
        if isinstance(expr, sp.Add):
            return self.sum(expr, bound)
        if isinstance(expr, sp.Mul):
            return self.product(expr, bound)
        if isinstance(expr, sp.Pow):
            return self.power(expr, bound)
        return self.call(expr, bound)

    def sum(self, expr: sp.Add, bound: Mapping[sp.Symbol, Code]) -> Code:
        terms = sorted(expr.as_ordered_terms(), key=lambda term: (term.could_extract_minus_sign(), -len(sp.Mul.make_args(term))))
        text, size = "", 0
        for term in terms:
            negative = bool(text) and term.could_extract_minus_sign()
            part = self.expression(-term if negative else term, bound)
            size = max(size, part.size)
            text = f"{text} {'-' if negative else '+'} {part.at_least(PRODUCT)}" if text else part.at_least(PRODUCT)
        return Code(text, SUM, size)

    def product(self, expr: sp.Mul, bound: Mapping[sp.Symbol, Code]) -> Code:
        constant, factors, divisors = sp.Integer(1), [], []
        for factor in sp.Mul.make_args(expr):
            if is_constant_number(factor):
                constant *= factor
            elif (divisor := self.divisor(factor)) is not None:
                divisors.append(divisor)
            else:
                factors.append(factor)
        singular = [each for divisor in divisors if isinstance(divisor, divisor0) for each in divided_by(divisor)]
        denominator = sp.Mul(*(divisor for divisor in divisors if not isinstance(divisor, divisor0)))
        negative = constant.could_extract_minus_sign()
        constant = -constant if negative else constant
        codes = sorted((self.expression(factor, bound) for factor in factors), key=lambda code: code.size)
        parts = [code.at_least(PRODUCT if index == 0 and constant == 1 else UNARY) for index, code in enumerate(codes)]
        if constant != 1 or not parts:
            parts.insert(0, number(constant).at_least(UNARY))
        size = max((code.size for code in codes), default=0)
        large = sum(code.size == size for code in codes)
        small = [" * ".join(parts[: len(parts) - large])] if len(parts) > large else []  # multiplied, and divided, before the large ones
        # one by one, each behind a factor: the derivative of a product with one that is infinite is 0 · ∞, and products leave the floats
        by = [f" / {self.expression(each, bound).at_least(UNARY)}" for each in singular]
        early = large if len(by) > 1 else 0  # a single one divides the product, which may be 0 where it is
        body = [f"{part}{divided}" for part, divided in zip_longest(parts[len(parts) - large :], by[:early], fillvalue="")]
        rest = "".join(by[early:])
        if denominator != 1:
            code = self.expression(denominator, bound)
            if small and code.size < size:
                small[0] += f" / {code.at_least(UNARY)}"
            else:
                rest = f" / {code.at_least(UNARY)}{rest}"
        text = " * ".join([*small, *body]) + rest
        several = len(parts) > 1 or denominator != 1 or bool(singular)
        if negative:
            code = Code(text if several else codes[0].at_least(UNARY), PRODUCT if several else UNARY, size)
            return Code(code.text[1:], PRODUCT, size) if code.text.startswith("-") else Code(f"-{code.text}", code.strength, size)
        return Code(text, PRODUCT, size) if several else codes[0] if codes else Code(text)

    def divisor(self, factor: sp.Expr) -> sp.Expr | None:
        """The divisor that a factor stands for, or None."""
        base, exponent = factor.args if isinstance(factor, sp.Pow) else (factor, sp.Integer(1))
        if exponent.is_Integer and exponent < 0:
            return base**-exponent
        if isinstance(base, Power0) and exponent.is_Integer and base.args[1] < 0:
            return self.singular_divisor(base.args[0], -base.args[1] * exponent)
        return None

    @abstractmethod
    def singular_divisor(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
        """The divisor that stands for a factor Power0(base, −exponent); None where it stays a factor."""

    @abstractmethod
    def power(self, expr: sp.Pow, bound: Mapping[sp.Symbol, Code]) -> Code:
        """A power."""

    @abstractmethod
    def call(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> Code:
        """A function's value; InternalError for a function that the backend lacks."""

    def inverse_call(self, expr: newton_inverse, bound: Mapping[sp.Symbol, Code]) -> Code:
        dual = self.expression(expr.args[2], bound)
        return Code(f"{self.define_inverse(expr)}({dual.text})", ATOM, dual.size)

    def define_inverse(self, expr: newton_inverse) -> str:
        """A helper that inverts a derivative by bisection, with one differentiable Newton step at the end."""
        slope, kind = expr.args[0], int(expr.args[1])
        (w,) = slope.variables
        code = {w: Code("w")}
        value, changes = self.expression(slope.expr, code).text, self.expression(gain(slope.expr, w), code).at_least(PRODUCT)
        span, image, step = self.inverse.images[kind]
        step = step.format(f"({value} - a) * {changes}")
        text = self.inverse.definition.format(name="{name}", slope=value, span=span, image=image, step=step)
        for name, helper in self.helpers.items():
            if helper == text.replace("{name}", name):
                return name
        stem = self.inverse.name
        name = stem if stem not in self.helpers else f"{stem}{len(self.helpers)}"
        self.helpers[name] = text.replace("{name}", name)
        return name

    def condition(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> str:
        """`a > b` for a − b > 0."""
        terms = sp.Add.make_args(expr)
        above = sp.Add(*(term for term in terms if not term.could_extract_minus_sign()))
        below = sp.Add(*(-term for term in terms if term.could_extract_minus_sign()))
        first, second = self.expression(above, bound).text, self.expression(below, bound).text
        return f"{second} < {first}" if above.is_number else f"{first} > {second}"


def is_constant_number(expr: sp.Expr) -> bool:
    """True if the expression is a number that sympy can evaluate."""
    return bool(expr.is_number) and not expr.atoms(RealFunction)


def number(value: sp.Expr) -> Code:
    """A literal; the shortest float that reads back as the same number where it is no integer."""
    text = str(int(value)) if value.is_Integer else repr(float(value))
    return Code(text, UNARY if text.startswith("-") else ATOM)
