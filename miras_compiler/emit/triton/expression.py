"""Entrywise expressions as Triton code."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from miras_compiler.emit.torch.expression import ATOM, POWER, PRODUCT, UNARY, Code, Printer, number
from miras_compiler.emit.triton.device_functions import DEVICE_FUNCTIONS, NEEDS
from miras_compiler.errors import InternalError
from miras_compiler.inverse import newton_inverse
from miras_compiler.symbols import Composite, Power0, letter, power0

CALLS = {
    "exp": "exp({})", "log": "tl.log({})", "sigmoid": "sigmoid({})", "rsqrt": "tl.rsqrt({})", "magnitude": "tl.abs({})",
    "relu": "tl.maximum({}, 0.0)", "normal_cdf": "normal_cdf({})", "tanh": "tanh({})", "cosh": "cosh({})", "sinh": "sinh({})",
    "asinh": "asinh({})", "signum": "sign({})", "softplus": "softplus({})",
}  # fmt: skip
HELPERS = {
    "exp": '''
@triton.jit
def exp(x):
    """e to the power, 0 below 1e-38: half the instructions of tl.exp; impure, for else the compiler computes it in every layout anew."""
    if PTX:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x * 1.4426950408889634], tl.float32, is_pure=False, pack=1)
    return tl.exp(x)
''',
    "reciprocal": '''
@triton.jit
def reciprocal(x):
    """1 / x, of 1e-38 and less infinite."""
    if PTX:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=False, pack=1)
    return 1 / x
''',
    "sigmoid": '''
@triton.jit
def sigmoid(x):
    return reciprocal(1 + exp(-x))
''',
    "normal_cdf": '''
@triton.jit
def normal_cdf(x):
    """(1 + erf(x / sqrt 2)) / 2 to 8e-8: Abramowitz and Stegun, 7.1.26, half the instructions of erf."""
    t = reciprocal(1 + 0.23164189 * tl.abs(x))
    series = 0.127414796 + t * (-0.142248368 + t * (0.710706871 + t * (-0.726576014 + t * 0.530702715)))
    tail = exp(-0.5 * (x * x)) * t * series
    return tl.where(x < 0, tail, 1 - tail)
''',
    "tanh": '''
@triton.jit
def tanh(x):
    """Hyperbolic tangent, without overflow; near 0 its series, since the difference of two halves would lose the digits of a small x."""
    power = x * x
    near = x * (1 - power * (0.33333333 - power * (0.13333333 - power * (0.053968254 - power * 0.021869489))))
    return tl.where(power < 0.0625, near, 2 * sigmoid(2 * x) - 1)
''',
    "cosh": '''
@triton.jit
def cosh(x):
    return 0.5 * (exp(x) + exp(-x))
''',
    "sinh": '''
@triton.jit
def sinh(x):
    return 0.5 * (exp(x) - exp(-x))
''',
    "asinh": '''
@triton.jit
def asinh(x):
    """Inverse of sinh: log(1 + y), with 1 + y rounded as in the divisor, where x is small; log(2 |x|) where x² might overflow."""
    size = tl.abs(x)
    near = tl.minimum(size, 1e4)
    y = near + near * near / (1 + tl.sqrt(1 + near * near))
    rounded = 1 + y
    near = tl.where(rounded == 1, y, tl.log(rounded) * y / (rounded - 1))
    size = tl.where(size > 1e4, tl.log(tl.maximum(size, 1.0)) + 0.6931472, near)
    return tl.where(x < 0, -size, size)
''',
    "sign": '''
@triton.jit
def sign(x):
    """-1, 0 or 1."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0))
''',
    "softplus": '''
@triton.jit
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1 + exp(-tl.abs(x)))
''',
    "power0": '''
@triton.jit
def power0(x, exponent: tl.constexpr):
    """x to the power; where that is singular (0, or under a fraction negative or no normal number), the value is 0."""
    whole: tl.constexpr = exponent == exponent // 1
    inside = (x != 0) if whole else (x > 1.1754944e-38)
    size = tl.exp2(exponent * tl.log2(tl.where(inside, tl.abs(x), 1.0)))
    odd: tl.constexpr = whole and exponent % 2 == 1
    return tl.where(inside, tl.where(x < 0, -size, size) if odd else size, 0.0)
''',
}  # fmt: skip
IMAGES = (  # of the real line, as in slopes.IMAGES, and how a step is kept inside
    ("sinh(t)", "w - {}"), ("exp(t)", "tl.maximum(w - {}, 0.0)"),
    ("sigmoid(t)", "tl.minimum(tl.maximum(w - {}, 0.0), 1.0)"), ("tanh(t)", "tl.minimum(tl.maximum(w - {}, -1.0), 1.0)"),
)  # fmt: skip
INVERSE = '''
@triton.jit
def {name}(a):
    """w with F'(w) = a: bisection on the image of the real line, then one Newton step."""
    high = tl.full(a.shape, 88.0, tl.float32)
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
NEEDED = NEEDS | {
    "sigmoid": ("reciprocal", "exp"), "normal_cdf": ("reciprocal", "exp"), "tanh": ("sigmoid",), "cosh": ("exp",), "sinh": ("exp",),
    "softplus": ("exp",),
}  # fmt: skip
NAMED = {"signum": "sign"}
WHOLE_POWERS = (2, 3, 4)  # written as products


class TritonPrinter(Printer):
    """Prints expressions and collects the device functions that the code calls."""

    inverses = ("newton_inverse", IMAGES, INVERSE)

    def define_inverse(self, expr: newton_inverse) -> str:
        self.need(IMAGES[int(expr.args[1])][0].partition("(")[0])
        return super().define_inverse(expr)

    def need(self, name: str) -> str:
        """The name of a device function, which the file will hold."""
        for other in NEEDED.get(name, ()):
            self.need(other)
        self.helpers.setdefault(name, HELPERS.get(name) or DEVICE_FUNCTIONS[name])
        return name

    def product(self, expr: sp.Mul, bound: Mapping[sp.Symbol, Code]) -> Code:
        """Steep powers come last, and in two steps: at 1e-28 that of −3/2 leaves float32, but not times what is small there, too."""
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
        if expr.exp in WHOLE_POWERS:
            return self.repeated(base, int(expr.exp))
        exponent = self.expression(expr.exp, bound)
        return Code(f"tl.exp2({exponent.at_least(UNARY)} * tl.log2({base.text}))", ATOM, base.size)

    def repeated(self, base: Code, times: int) -> Code:
        """A whole power as a product; what is no name is computed once, by a device function."""
        if base.text.replace("[:, None]", "").replace("[None, :]", "").isidentifier():
            return Code(" * ".join([base.text] * times), PRODUCT, base.size)
        name = {2: "square", 3: "cube", 4: "fourth"}[times]
        self.helpers.setdefault(name, f"\n\n@triton.jit\ndef {name}(x):\n    return {' * '.join('x' * times)}\n"[1:])
        return Code(f"{name}({base.text})", ATOM, base.size)

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
            if NAMED.get(name, name) in HELPERS:
                self.need(NAMED.get(name, name))
            return Code(CALLS[name].format(arguments[0]), ATOM, size)
        if isinstance(expr, Composite):
            self.define(expr)
            return Code(f"{name}({arguments[0]})", ATOM, size)
        raise InternalError(f"no Triton for the function {name}")

    def singular_divisor(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
        """None: what is not differentiated may be multiplied with a power."""
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


__all__ = ["ATOM", "POWER", "PRODUCT", "UNARY", "Code", "TritonPrinter", "number"]
