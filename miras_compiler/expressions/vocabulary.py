"""The functions of formulas, and the spellings of those that formulas lack."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import sympy as sp

from miras_compiler.expressions.symbols import (
    RowMax,
    RowSum,
    larger,
    magnitude,
    power0,
    row_norm,
    sigmoid,
    signum,
    smaller,
    softplus,
)


class Function(NamedTuple):
    """A function of the grammar: its expression, and its value where all arguments are numbers (None: it needs a row)."""

    build: Callable[..., sp.Expr]
    value: Callable[..., float] | None


FUNCTIONS: dict[tuple[str, int], Function] = {
    ("abs", 1): Function(magnitude, abs),
    ("sign", 1): Function(signum, lambda x: (x > 0) - (x < 0)),
    ("exp", 1): Function(sp.exp, math.exp),
    ("log", 1): Function(sp.log, math.log),
    ("sqrt", 1): Function(lambda x: power0(x, sp.Rational(1, 2)), math.sqrt),
    ("tanh", 1): Function(sp.tanh, math.tanh),
    ("cosh", 1): Function(sp.cosh, math.cosh),
    ("sinh", 1): Function(sp.sinh, math.sinh),
    ("asinh", 1): Function(sp.asinh, math.asinh),
    ("atan", 1): Function(sp.atan, math.atan),
    ("erf", 1): Function(sp.erf, math.erf),
    ("sigmoid", 1): Function(sigmoid, lambda x: (1 + math.tanh(x / 2)) / 2),
    ("softplus", 1): Function(softplus, lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))),
    ("min", 2): Function(smaller, min),
    ("max", 2): Function(larger, max),
    ("max", 1): Function(RowMax, None),
    ("sum", 1): Function(RowSum, None),
    ("norm", 1): Function(row_norm, None),
}


INSTEAD = {  # names in other languages, and their spelling here
    "mean": "sum(x)/n, where n is the number of coordinates",
    "dot": "sum(x*y)",
    "inner": "sum(x*y)",
    "where": "max(x, 0), min(x, y), abs(x) or sign(x): a formula has no conditions",
    "log1p": "log(1 + x)",
    "expm1": "exp(x) - 1",
    "log2": "log(x)/log(2)",
    "log10": "log(x)/log(10)",
    "pow": "x**2",
    "square": "x**2",
    "rsqrt": "x**(-0.5)",
    "cbrt": "sign(x)*abs(x)**(1/3)",
    "relu": "max(x, 0)",
    "clip": "max(a, min(x, b))",
    "clamp": "max(a, min(x, b))",
    "maximum": "max(x, y)",
    "minimum": "min(x, y)",
    "arcsinh": "asinh(x)",
    "arctan": "atan(x)",
    "sin": "tanh(x): a formula has no periodic functions",
    "cos": "exp(-x**2): a formula has no periodic functions",
    "silu": "x*sigmoid(x)",
    "gelu": "x*(1 + erf(x/sqrt(2)))/2",
    "logsigmoid": "-softplus(-x)",
    "logcosh": "log(cosh(x))",
    "softmax": "exp(x)/sum(exp(x))",
    "logsumexp": "log(sum(exp(x)))",
    "sgn": "sign(x)",
    "fabs": "abs(x)",
    "ln": "log(x)",
}


SIGNS = {
    "^": "a power is written **",
    "|": "write abs(x) for |x|, and norm(x) for the length of a row",
    "=": "a formula is one expression, without equations and conditions",
    "<": "a formula has no conditions; write max(x, 0), min(x, y) or sign(x)",
    ">": "a formula has no conditions; write max(x, 0), min(x, y) or sign(x)",
    "@": "write sum(x*y) for the product of two rows",
    ".": "functions have no module before their name",
}


NAMES_OF_FUNCTIONS = frozenset(name for name, _ in FUNCTIONS)
