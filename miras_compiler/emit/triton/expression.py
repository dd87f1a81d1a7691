"""Entrywise expressions as Triton code."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from miras_compiler.emit.printing.expression import ATOM, PRODUCT, UNARY, Code, ExpressionPrinter, InverseText, number
from miras_compiler.emit.triton.device_functions import device_functions
from miras_compiler.errors import InternalError
from miras_compiler.expressions.activations import Composite
from miras_compiler.expressions.inverse import newton_inverse
from miras_compiler.expressions.symbols import Power0, letter, power0

CALLS = {
    "exp": "exp({})", "log": "tl.log({})", "sigmoid": "sigmoid({})", "rsqrt": "tl.rsqrt({})", "magnitude": "tl.abs({})",
    "relu": "tl.maximum({}, 0.0)", "normal_cdf": "normal_cdf({})", "tanh": "tanh({})", "cosh": "cosh({})", "sinh": "sinh({})",
    "asinh": "asinh({})", "atan": "atan({})", "erf": "erf({})", "signum": "sign({})", "softplus": "softplus({})",
}  # fmt: skip
SIGNED = "sign(t) * exp(tl.abs(t) - 88.0)"  # as fine next to 0 as anywhere
IMAGES = (  # how far t goes, its image in the domain (as in slopes.IMAGES), and how a step is kept inside
    ("176.0", SIGNED, "w - {}"), ("88.0", "exp(t)", "tl.maximum(w - {}, 0.0)"),
    ("88.0", "sigmoid(t)", "tl.minimum(tl.maximum(w - {}, 0.0), 1.0)"),
    ("176.0", f"tanh({SIGNED})", "tl.minimum(tl.maximum(w - {}, -1.0), 1.0)"),
)  # fmt: skip
INVERSE = '''
@triton.jit
def {name}(a):
    """w with F'(w) = a: bisection over t, then one Newton step."""
    high = tl.full(a.shape, {span}, tl.float32)
    low = -high
    for _ in range(32):
        t = 0.5 * (low + high)
        w = {image}
        slope = {slope}
        below = tl.where(slope == slope, slope < a, t < 0)  # no number: too far out
        low = tl.where(below, t, low)
        high = tl.where(below, high, t)
    t = tl.where(low > 0, low, high)  # the nearer to 0 of the two
    w = {image}
    return {step}
'''
WHOLE_POWERS = (2, 3, 4)  # have functions of their own


class TritonPrinter(ExpressionPrinter):
    """Prints expressions; `helpers` are the device functions that the code calls and that packages do not share.

    `pads_rows`: whether tiles have rows behind their tokens.
    """

    inverse = InverseText("newton_inverse", IMAGES, INVERSE)

    def __init__(self, pads_rows: bool = False) -> None:
        super().__init__()
        self.pads_rows = pads_rows

    def need(self, name: str) -> str:
        """The name of a device function that packages share, which the file imports."""
        if name not in device_functions():
            raise InternalError(f"no device function {name}")
        return name

    def product(self, expr: sp.Mul, bound: Mapping[sp.Symbol, Code]) -> Code:
        """Steep powers come last, and in two steps: at 1e-28 that of −3/2 leaves float32, but its product with a factor that is small
        there, too, does not.
        """
        factors = sp.Mul.make_args(expr)
        steep = [each for each in factors if isinstance(each, Power0) and not each.args[1].is_Integer and each.args[1] < -1]
        if not steep:
            return super().product(expr, bound)
        halves = [power0(power.args[0], power.args[1] / 2) for power in steep for _ in range(2)]
        codes = [self.expression(part, bound) for part in (sp.Mul(*(each for each in factors if each not in steep)), *halves)]
        return Code(" * ".join(code.at_least(PRODUCT) for code in codes), PRODUCT, max(code.size for code in codes))

    def power(self, expr: sp.Pow, bound: Mapping[sp.Symbol, Code]) -> Code:
        base = self.expression(expr.base, bound)
        if expr.exp == sp.Rational(1, 2):
            return Code(f"tl.sqrt({base.text})", ATOM, base.size)
        if expr.exp.is_number and expr.exp < 0:
            inverse = self.expression(expr.base**-expr.exp, bound)
            return Code(f"1 / {inverse.at_least(UNARY)}", PRODUCT, base.size)
        if expr.exp.is_Integer:  # whatever the sign of the base
            return self.repeated(base, int(expr.exp))
        exponent = self.expression(expr.exp, bound)
        return Code(f"tl.exp2({exponent.at_least(UNARY)} * tl.log2({base.text}))", ATOM, base.size)

    def repeated(self, base: Code, times: int) -> Code:
        """A whole power as a product; a device function computes a base that is no name once."""
        if times not in WHOLE_POWERS:
            return Code(f"{self.need('whole_power')}({base.text}, {times})", ATOM, base.size)
        if base.text.replace("[:, None]", "").replace("[None, :]", "").isidentifier():
            return Code(" * ".join([base.text] * times), PRODUCT, base.size)
        return Code(f"{self.need({2: 'square', 3: 'cube', 4: 'fourth'}[times])}({base.text})", ATOM, base.size)

    def call(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> Code:
        if isinstance(expr, newton_inverse):
            return self.inverse_call(expr, bound)
        name = type(expr).__name__
        size = max((self.expression(argument, bound).size for argument in expr.args), default=0)
        arguments = [self.expression(argument, bound).text for argument in expr.args]
        if name == "where_positive":
            return Code(f"tl.where({self.condition(expr.args[0], bound)}, {arguments[1]}, {arguments[2]})", ATOM, size)
        if name == "step":
            return Code(f"tl.where({self.condition(expr.args[0], bound)}, 1.0, 0.0)", ATOM, size)
        if name == "attains":
            return Code(f"tl.where({arguments[0]} >= {arguments[1]}, 1.0, 0.0)", ATOM, size)
        if name in ("larger", "smaller"):
            return Code(f"tl.{'maximum' if name == 'larger' else 'minimum'}({', '.join(map(self.as_float, arguments))})", ATOM, size)
        if isinstance(expr, Power0):
            return self.singular_power(expr, bound, size)
        if name in CALLS:
            return Code(CALLS[name].format(arguments[0]), ATOM, size)
        if isinstance(expr, Composite):
            self.define(expr)
            return Code(f"{name}({arguments[0]})", ATOM, size)
        raise InternalError(f"no Triton for the function {name}")

    def singular_divisor(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
        """None: code that is not differentiated may be multiplied with a power."""
        return None

    def singular_power(self, expr: Power0, bound: Mapping[sp.Symbol, Code], size: int) -> Code:
        base, exponent = self.expression(expr.args[0], bound), expr.args[1]
        if not exponent.is_number:
            raise InternalError(f"no Triton for the power {exponent}")
        if exponent == sp.Rational(1, 2):
            return Code(f"tl.sqrt(tl.maximum({base.text}, 0.0))", ATOM, size)
        return Code(f"{self.need('power0')}({base.text}, {number(exponent).text})", ATOM, size)

    def condition(self, expr: sp.Expr, bound: Mapping[sp.Symbol, Code]) -> str:
        text = super().condition(expr, bound)
        return f"{text.removeprefix('0 > ')} < 0" if text.startswith("0 > ") else text

    @staticmethod
    def as_float(text: str) -> str:
        return f"{text}.0" if text.lstrip("-").isdigit() else text

    def define(self, expr: Composite) -> None:
        name = type(expr).__name__
        if name in self.helpers:
            return
        x = letter("x")
        body = self.expression(expr.definition(x), {x: Code("x")}).text
        says = f"Derivative of {name.removesuffix('_slope')}." if name.endswith("_slope") else f"The activation {name}."
        self.helpers[name] = f'\n@triton.jit\ndef {name}(x):\n    """{says}"""\n    return {body}\n'
