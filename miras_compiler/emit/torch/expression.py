"""Entrywise expressions as PyTorch code."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from miras_compiler.emit.printing.expression import ATOM, POWER, PRODUCT, UNARY, Code, ExpressionPrinter, InverseText, divisor0, number
from miras_compiler.emit.torch.helpers import HELPERS, IMAGES, INVERSE, NEEDS
from miras_compiler.emit.torch.lines import fit
from miras_compiler.errors import InternalError
from miras_compiler.expressions.activations import Composite
from miras_compiler.expressions.inverse import newton_inverse
from miras_compiler.expressions.symbols import Power0, letter

CALLS = {
    "atan": "torch.atan({})", "erf": "torch.erf({})",
    "exp": "torch.exp({})", "log": "torch.log({})", "tanh": "torch.tanh({})", "cosh": "torch.cosh({})", "sinh": "torch.sinh({})",
    "asinh": "torch.asinh({})", "atanh": "torch.atanh({})", "sigmoid": "torch.sigmoid({})", "relu": "torch.relu({})",
    "gelu": "functional.gelu({})", "silu": "functional.silu({})", "gelu_tanh": 'functional.gelu({}, approximate="tanh")',
    "rsqrt": "torch.rsqrt({})", "normal_cdf": "torch.special.ndtr({})", "magnitude": "torch.abs({})", "signum": "torch.sign({})",
    "softplus": "softplus({})", "step": "indicator({})",
}  # fmt: skip


class TorchPrinter(ExpressionPrinter):
    """Prints expressions; `helpers` are the functions that PyTorch lacks."""

    inverse = InverseText("inverse", IMAGES, INVERSE)

    def need(self, name: str) -> str:
        for each in (*NEEDS.get(name, ()), name):
            self.helpers.setdefault(each, HELPERS[each])
        return name

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
