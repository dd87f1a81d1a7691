"""Entrywise expressions as PyTorch code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import sympy as sp

from miras_compiler.emit.torch.helpers import HELPERS, IMAGES, INVERSE, NEEDS
from miras_compiler.emit.torch.lines import fit
from miras_compiler.errors import InternalError
from miras_compiler.expressions.inverse import newton_inverse
from miras_compiler.expressions.slopes import curvature
from miras_compiler.expressions.symbols import Composite, Power0, RealFunction, letter

SUM, PRODUCT, UNARY, POWER, ATOM = range(5)  # how tightly a piece of code binds


class divisor0(RealFunction):
    """`divisor0(base, exponent)`: what a quotient is divided by in place of a factor Power0(base, −exponent)."""

    nargs = 2


class Code(NamedTuple):
    """`size` orders factors: small tiles are multiplied first."""

    text: str
    strength: int = ATOM
    size: int = 0

    def at_least(self, strength: int) -> str:
        return self.text if self.strength >= strength else f"({self.text})"


CALLS = {
    "atan": "torch.atan({})", "erf": "torch.erf({})",
    "exp": "torch.exp({})", "log": "torch.log({})", "tanh": "torch.tanh({})", "cosh": "torch.cosh({})", "sinh": "torch.sinh({})",
    "asinh": "torch.asinh({})", "atanh": "torch.atanh({})", "sigmoid": "torch.sigmoid({})", "relu": "torch.relu({})",
    "gelu": "functional.gelu({})", "silu": "functional.silu({})", "gelu_tanh": 'functional.gelu({}, approximate="tanh")',
    "rsqrt": "torch.rsqrt({})", "normal_cdf": "torch.special.ndtr({})", "magnitude": "torch.abs({})", "signum": "torch.sign({})",
    "softplus": "softplus({})", "step": "indicator({})",
}  # fmt: skip


class Printer:
    """Prints expressions and collects the helper functions that the code calls."""

    inverses = ("inverse", IMAGES, INVERSE)  # what the helpers that invert are called, and how they are written

    def __init__(self) -> None:
        self.helpers: dict[str, str] = {}
        self.known: tuple[Mapping[sp.Symbol, Code], dict[sp.Expr, Code]] = ({}, {})

    def need(self, name: str) -> str:
        for each in (*NEEDS.get(name, ()), name):
            self.helpers.setdefault(each, HELPERS[each])
        return name

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
        singular = [divisor for divisor in divisors if isinstance(divisor, divisor0)]
        denominators = [each for each in (sp.Mul(*(divisor for divisor in divisors if divisor not in singular)), *singular) if each != 1]
        negative = constant.could_extract_minus_sign()
        constant = -constant if negative else constant
        codes = sorted((self.expression(factor, bound) for factor in factors), key=lambda code: code.size)
        parts = [code.at_least(PRODUCT if index == 0 and constant == 1 else UNARY) for index, code in enumerate(codes)]
        if constant != 1 or not parts:
            parts.insert(0, number(constant).at_least(UNARY))
        size = max((code.size for code in codes), default=0)
        large = sum(code.size == size for code in codes)
        small = [" * ".join(parts[: len(parts) - large])] if len(parts) > large else []  # multiplied, and divided, before the large ones
        last = ""
        for denominator in denominators:  # one by one: the derivative of a product with one that is infinite is 0 · ∞
            code = self.expression(denominator, bound)
            if small and code.size < size and denominator not in singular:
                small[0] += f" / {code.at_least(UNARY)}"
            else:
                last += f" / {code.at_least(UNARY)}"
        text = " * ".join([*small, *parts[len(parts) - large :]]) + last
        several = len(parts) > 1 or bool(denominators)
        if negative:
            code = Code(text if several else codes[0].at_least(UNARY), PRODUCT if several else UNARY, size)
            return Code(code.text[1:], PRODUCT, size) if code.text.startswith("-") else Code(f"-{code.text}", code.strength, size)
        return Code(text, PRODUCT, size) if several else codes[0] if codes else Code(text)

    def divisor(self, factor: sp.Expr) -> sp.Expr | None:
        """What a factor divides by, if it does."""
        base, exponent = factor.args if isinstance(factor, sp.Pow) else (factor, sp.Integer(1))
        if exponent.is_Integer and exponent < 0:
            return base**-exponent
        if isinstance(base, Power0) and exponent.is_Integer and base.args[1] < 0:
            return self.singular_divisor(base.args[0], -base.args[1] * exponent)
        return None

    def singular_divisor(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
        """Autograd divides twice by a root, where the derivative of a power leaves the floats: at x = 1e-28 that of x^−½ is 1e42."""
        return divisor0(base, exponent)

    def power(self, expr: sp.Pow, bound: Mapping[sp.Symbol, Code]) -> Code:
        base = self.expression(expr.base, bound)
        if expr.exp == 2:
            return Code(f"{base.at_least(ATOM)}.square()", ATOM, base.size)
        if expr.exp == sp.Rational(1, 2):
            return Code(f"torch.sqrt({base.text})", ATOM, base.size)
        if expr.exp.is_number and expr.exp < 0:
            return Code(f"1 / {self.expression(expr.base**-expr.exp, bound).at_least(UNARY)}", PRODUCT, base.size)
        exponent = self.expression(expr.exp, bound)
        text = f"{base.at_least(ATOM)}"
        return Code(
            f"{text}**{exponent.at_least(ATOM)}" if text.isidentifier() else f"{text} ** {exponent.at_least(ATOM)}", POWER, base.size
        )

    def call(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> Code:
        if isinstance(expr, newton_inverse):
            return self.inverse_call(expr, bound)
        name = type(expr).__name__
        size = max((self.expression(argument, bound).size for argument in expr.args), default=0)
        arguments = [self.expression(argument, bound).text for argument in expr.args]
        if name == "where_positive":
            return Code(f"torch.where({self.condition(expr.args[0], bound)}, {arguments[1]}, {arguments[2]})", ATOM, size)
        if isinstance(expr, sp.log) and isinstance(expr.args[0], sp.cosh):
            return Code(f"{self.need('log_cosh')}({self.expression(expr.args[0].args[0], bound).text})", ATOM, size)
        if name == "attains":
            return Code(f"{self.need('attains')}({', '.join(arguments)})", ATOM, size)
        if name in ("larger", "smaller"):
            return Code(self.extremum(expr, bound), ATOM, size)
        if isinstance(expr, Power0) and (divisor := self.divisor(expr)) is not None:
            return Code(f"1 / {self.expression(divisor, bound).text}", PRODUCT, size)
        if isinstance(expr, Power0 | divisor0):
            helper = self.need("power0" if isinstance(expr, Power0) else "divisor0")
            return Code(f"{helper}({arguments[0]}, {arguments[1]})", ATOM, size)
        if name in CALLS:
            helper = CALLS[name].partition("(")[0]
            if helper in HELPERS:
                self.need(helper)
            return Code(CALLS[name].format(arguments[0]), ATOM, size)
        if isinstance(expr, Composite):
            if name in HELPERS:
                self.need(name)
            else:
                self.define(expr)
            return Code(f"{name}({arguments[0]})", ATOM, size)
        raise InternalError(f"no PyTorch for the function {name}")

    def define(self, expr: Composite) -> None:
        """A helper for a function that PyTorch lacks, from its definition."""
        name = type(expr).__name__
        x = letter("x")
        body = self.expression(expr.definition(x), {x: Code("x")}).text
        says = f'"""Derivative of {name.removesuffix("_slope")}."""'
        lines = "\n".join(fit("return ", body, 4))
        self.helpers[name] = f"\ndef {name}(x: Tensor) -> Tensor:\n    {says}\n{lines}\n"

    def inverse_call(self, expr: newton_inverse, bound: Mapping[sp.Symbol, Code]) -> Code:
        dual = self.expression(expr.args[2], bound)
        return Code(f"{self.define_inverse(expr)}({dual.text})", ATOM, dual.size)

    def define_inverse(self, expr: newton_inverse) -> str:
        """A helper that inverts a derivative by bisection, with one differentiable Newton step at the end."""
        slope, kind = expr.args[0], int(expr.args[1])
        (w,) = slope.variables
        code = {w: Code("w")}
        value, second = (self.expression(expr, code).text for expr in (slope.expr, curvature(slope.expr, w)))
        inverse, images, definition = self.inverses
        image, step = images[kind]
        text = definition.format(name="{name}", slope=value, image=image, step=step.format(f"({value} - a) / ({second})"))
        for name, helper in self.helpers.items():
            if helper == text.replace("{name}", name):
                return name
        name = inverse if inverse not in self.helpers else f"{inverse}{len(self.helpers)}"
        self.helpers[name] = text.replace("{name}", name)
        return name

    def condition(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> str:
        """`a > b` for a − b > 0."""
        terms = sp.Add.make_args(expr)
        above = sp.Add(*(term for term in terms if not term.could_extract_minus_sign()))
        below = sp.Add(*(-term for term in terms if term.could_extract_minus_sign()))
        first, second = self.expression(above, bound).text, self.expression(below, bound).text
        return f"{second} < {first}" if above.is_number else f"{first} > {second}"

    def extremum(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> str:
        """max or min; at a tie the derivative goes to the second: of a number before x that is the clamp's own, and of one behind it 0."""
        a, b = expr.args
        largest = type(expr).__name__ == "larger"
        first, second = self.expression(a, bound).text, self.expression(b, bound).text
        if a.is_number:
            return f"{self.expression(b, bound).at_least(ATOM)}.clamp({'min' if largest else 'max'}={number(a).text})"
        if b.is_number:  # nan is neither less nor more, and stays
            return f"torch.where({first} {'<=' if largest else '>='} {second}, {second}, {first})"
        return f"torch.where({first} {'>' if largest else '<'} {second}, {first}, {second})"


def is_constant_number(expr: sp.Expr) -> bool:
    """Whether the expression is a number that sympy can evaluate."""
    return bool(expr.is_number) and not expr.atoms(RealFunction)


def number(value: sp.Expr) -> Code:
    """A literal; the shortest float that reads back as the same number where it is no integer."""
    text = str(int(value)) if value.is_Integer else repr(float(value))
    return Code(text, UNARY if text.startswith("-") else ATOM)
