# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions of one argument, entry by entry in float32: exp, and functions that Triton lacks or has in a slow form."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def square(x):
    """x²."""
    return x * x


@triton.jit
def cube(x):
    """x³."""
    return x * x * x


@triton.jit
def fourth(x):
    """x⁴."""
    return x * x * x * x


@triton.jit
def whole_power(x, exponent: tl.constexpr):
    """x to a whole power from 1 to 4095, by squaring."""
    power = x
    result = power
    for bit in tl.static_range(1, 12):
        if (exponent >> bit) > 0:
            power = power * power
            if (exponent >> bit) % 2 == 1:
                result = result * power if exponent % (1 << bit) > 0 else power
    return result


IS_COMPILED = isinstance(square, triton.JITFunction)  # else Triton's interpreter runs kernels
PTX = tl.constexpr(IS_COMPILED and torch.version.hip is None)  # whether kernels may hold instructions of NVIDIA GPUs


@triton.jit
def exp(x):
    """e to the power of x, 0 below 1e-38, in half the instructions of tl.exp.

    Marked impure: otherwise Triton recomputes it for every layout.
    """
    if PTX:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x * 1.4426950408889634], tl.float32, is_pure=False, pack=1)
    return tl.exp(x)


@triton.jit
def exp2(x):
    """2 to the power of x, in one instruction."""
    if PTX:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=False, pack=1)
    return tl.exp2(x)


@triton.jit
def reciprocal(x):
    """1 / x; infinite where |x| is 1e-38 or less."""
    if PTX:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=False, pack=1)
    return 1 / x


@triton.jit
def sigmoid(x):
    """1 / (1 + e^−x)."""
    return reciprocal(1 + exp(-x))


@triton.jit
def normal_cdf(x):
    """(1 + erf(x / √2)) / 2 to 8e-8, in half the instructions of erf (Abramowitz and Stegun, 7.1.26)."""
    t = reciprocal(1 + 0.23164189 * tl.abs(x))
    series = 0.127414796 + t * (-0.142248368 + t * (0.710706871 + t * (-0.726576014 + t * 0.530702715)))
    tail = exp(-0.5 * (x * x)) * t * series
    return tl.where(x < 0, tail, 1 - tail)


@triton.jit
def tanh(x):
    """Hyperbolic tangent, without overflow; near 0 its series, because the difference of two halves would lose the digits of a small x."""
    power = x * x
    near = x * (1 - power * (0.33333333 - power * (0.13333333 - power * (0.053968254 - power * 0.021869489))))
    return tl.where(power < 0.0625, near, 2 * sigmoid(2 * x) - 1)


@triton.jit
def cosh(x):
    """Hyperbolic cosine."""
    return 0.5 * (exp(x) + exp(-x))


@triton.jit
def sinh(x):
    """Hyperbolic sine."""
    return 0.5 * (exp(x) - exp(-x))


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


@triton.jit
def atan(x):
    """Inverse of tan to 2e-7: Cephes, with the argument brought between tan(π/8) and its negative."""
    size = tl.abs(x)
    far = size > 2.4142136
    middle = size > 0.41421356
    near = tl.where(far, -1 / tl.maximum(size, 1.0), tl.where(middle, (size - 1) / (size + 1), size))
    power = near * near
    series = (((0.080537446 * power - 0.13877686) * power + 0.19977711) * power - 0.3333295) * power * near + near
    size = series + tl.where(far, 1.5707964, tl.where(middle, 0.78539819, 0.0))
    return tl.where(x < 0, -size, size)


@triton.jit
def erf(x):
    """The error function; near 0 its series, since a difference to 1 would lose the digits of a small x."""
    power = x * x
    near = 1.1283792 * x * (1 - power * (0.33333333 - power * (0.1 - power * (0.023809524 - power * 0.0046296296))))
    return tl.where(power < 0.0625, near, 2 * normal_cdf(1.4142136 * x) - 1)


@triton.jit
def sign(x):
    """−1, 0 or 1."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0))


@triton.jit
def softplus(x):
    """log(1 + e^x), without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1 + exp(-tl.abs(x)))


@triton.jit
def power0(x, exponent: tl.constexpr):
    """x to the power; 0 where that is singular: at 0, and for a fraction also where x is negative or no normal number."""
    whole: tl.constexpr = exponent == exponent // 1
    inside = (x != 0) if whole else ((x > 1.1754944e-38) | (x != x))  # nan, which a number must not hide, too
    size = tl.exp2(exponent * tl.log2(tl.where(inside, tl.abs(x), 1.0)))
    odd: tl.constexpr = whole and exponent % 2 == 1
    return tl.where(inside, tl.where(x < 0, -size, size) if odd else size, 0.0)
