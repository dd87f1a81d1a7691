"""A formula in one letter with its first two derivatives, computed forward along Python's own syntax tree: no symbolic mathematics.

The meaning of every function is that of `formula_value`; this reading exists because a numerical inverse needs F' and F'' many times per
token. Tests hold it to autograd of `formula_value`.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from miras_compiler.verify.literal.formula_tree import formula_tree


class Jet(NamedTuple):
    """f, f' and f'' at a point."""

    value: Tensor
    first: Tensor
    second: Tensor


def slopes(text: str, letter: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """F'(x) and F''(x), entrywise."""
    x = x.detach()
    jet = _jet(formula_tree(text), letter, Jet(x, torch.ones_like(x), torch.zeros_like(x)))
    return jet.first.expand_as(x), jet.second.expand_as(x)


def _jet(node: ast.expr, letter: str, x: Jet) -> Jet:
    match node:
        case ast.Constant(value=int() | float() as number):
            return _constant(float(number))
        case ast.Name(id=name) if name == letter:
            return x
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Jet(*(-part for part in _jet(operand, letter, x)))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _jet(operand, letter, x)
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _power(_jet(base, letter, x), float(_jet(exponent, "", x).value))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return Jet(*(a + b for a, b in zip(_jet(left, letter, x), _jet(right, letter, x), strict=True)))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return Jet(*(a - b for a, b in zip(_jet(left, letter, x), _jet(right, letter, x), strict=True)))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _product(_jet(left, letter, x), _jet(right, letter, x))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _product(_jet(left, letter, x), _power(_jet(right, letter, x), -1.0))
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            return _power(_jet(argument, letter, x), 0.5)
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[left, right]):
            a, b = _jet(left, letter, x), _jet(right, letter, x)
            first = a.value < b.value if name == "min" else a.value > b.value
            return Jet(*(torch.where(first, p, q) for p, q in zip(a, b, strict=True)))
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in FUNCTIONS:
            inner = _jet(argument, letter, x)
            value, first, second = FUNCTIONS[name](inner.value)
            return Jet(value, first * inner.first, second * inner.first.square() + first * inner.second)
    raise ValueError(f"{ast.unparse(node)!r} is outside the grammar of generators")


def _constant(number: float) -> Jet:
    return Jet(torch.tensor(number, dtype=torch.float64), torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))


def _product(a: Jet, b: Jet) -> Jet:
    return Jet(a.value * b.value, a.first * b.value + a.value * b.first, a.second * b.value + 2 * a.first * b.first + a.value * b.second)


def _power(base: Jet, n: float) -> Jet:
    """base^n; where that is singular (base 0 or, under a fraction, negative) the value and both derivatives are 0."""
    powers = (_plain_power(base.value, n), n * _plain_power(base.value, n - 1), n * (n - 1) * _plain_power(base.value, n - 2))
    if n == 0 or n == 1:
        powers = (powers[0], float(n) * torch.ones_like(base.value), torch.zeros_like(base.value))
    return Jet(powers[0], powers[1] * base.first, powers[2] * base.first.square() + powers[1] * base.second)


def _plain_power(x: Tensor, n: float) -> Tensor:
    if n >= 0 and n == int(n):
        return x.pow(int(n))
    defined = x != 0 if n == int(n) else x > 0
    return torch.where(defined, torch.where(defined, x, torch.ones_like(x)).pow(n), torch.zeros_like(x))


def _log(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Below 0 there is no value, and so no slope either."""
    there = torch.where(x < 0, torch.full_like(x, torch.nan), x)
    return torch.log(there), 1 / there, -1 / there.square()


def _tanh(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    t = torch.tanh(x)
    return t, 1 - t * t, -2 * t * (1 - t * t)


def _sigmoid(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s = torch.sigmoid(x)
    return s, s * (1 - s), s * (1 - s) * (1 - 2 * s)


def _softplus(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s, slope, _ = _sigmoid(x)
    return functional.softplus(x, threshold=50), s, slope


def _log_cosh(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)
    return value, torch.tanh(x), 4 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)


def _asinh(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slope = (1 + x * x) ** -0.5
    return torch.asinh(x), slope, -x * slope**3


def _atan(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slope = 1 / (1 + x * x)
    return torch.atan(x), slope, -2 * x * slope**2


def _erf(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slope = 2 * math.pi**-0.5 * torch.exp(-x * x)
    return torch.erf(x), slope, -2 * x * slope


FUNCTIONS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "abs": lambda x: (x.abs(), torch.sign(x), torch.zeros_like(x)),
    "sign": lambda x: (torch.sign(x), torch.zeros_like(x), torch.zeros_like(x)),
    "exp": lambda x: (torch.exp(x),) * 3,
    "log": _log,
    "tanh": _tanh,
    "cosh": lambda x: (torch.cosh(x), torch.sinh(x), torch.cosh(x)),
    "sinh": lambda x: (torch.sinh(x), torch.cosh(x), torch.sinh(x)),
    "asinh": _asinh,
    "atan": _atan,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "log_cosh": _log_cosh,
}
