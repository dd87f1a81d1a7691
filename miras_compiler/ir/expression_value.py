"""The values of expressions in NumPy, entry by entry."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any

import numpy as np
import sympy as sp

from miras_compiler.errors import InternalError
from miras_compiler.expressions.activations import Composite
from miras_compiler.expressions.inverse import newton_inverse
from miras_compiler.expressions.symbols import RealFunction, letter


def _power0(base: Any, exponent: Any) -> Any:
    inside = base != 0 if float(exponent).is_integer() else base > 0
    filled = np.where(inside, base, 1.0)
    power = reduce(operator.mul, [filled] * int(exponent)) if exponent in range(1, 9) else filled**exponent
    return np.where(inside, power, 0.0)


_normal_cdf = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)), otypes=[float])


def _sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -x))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "atanh": np.arctanh,
    "sinh": np.sinh,
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "normal_cdf": _normal_cdf,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "relu": lambda x: np.maximum(x, 0.0),
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
    "attains": lambda x, largest: np.where(x >= largest, 1.0, 0.0),
    "magnitude": np.abs,
    "signum": np.sign,
    "smaller": np.minimum,
    "larger": np.maximum,
    "where_positive": lambda c, x, y: np.where(c > 0, x, y),
    "Power0": _power0,
}


def _inverse_value(expr: newton_inverse, a: Any) -> Any:
    """w with F'(w) = a, by bisection."""
    slope, image = expr.args[0], (np.sinh, np.exp, _sigmoid, np.tanh)[int(expr.args[1])]
    (w,) = slope.variables
    low, high = np.full_like(a, -40.0), np.full_like(a, 40.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = evaluate_expression(slope.expr, {w: image(middle)}) < a
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return image((low + high) / 2)


def evaluate_expression(expr: sp.Expr, bound: Mapping[sp.Symbol, Any]) -> Any:
    """The value of an expression of `symbols`, entry by entry."""
    return _evaluator(expr)(bound)


@cache
def _evaluator(expr: sp.Expr) -> Callable[[Mapping[sp.Symbol, Any]], Any]:
    """The expression as a function of the values of its letters: its tree is looked at once, however often it is evaluated."""
    if isinstance(expr, sp.Symbol):
        return lambda bound: bound[expr]
    if expr.is_number and not expr.atoms(RealFunction):
        value = float(expr)
        return lambda bound: value
    if isinstance(expr, newton_inverse):
        dual = _evaluator(expr.args[2])
        return lambda bound: _inverse_value(expr, dual(bound))
    args = [_evaluator(a) for a in expr.args]
    if isinstance(expr, sp.Add):
        return lambda bound: reduce(operator.add, [arg(bound) for arg in args])
    if isinstance(expr, sp.Mul):
        return lambda bound: reduce(operator.mul, [arg(bound) for arg in args])
    if isinstance(expr, sp.Pow):
        base, exponent = args
        if expr.exp.is_Integer and 1 < expr.exp <= 8:
            return lambda bound: reduce(operator.mul, [base(bound)] * int(expr.exp))  # np.power takes the time of a hundred products
        return lambda bound: np.power(base(bound), exponent(bound))
    if isinstance(expr, Composite):
        x = letter("x")
        (inside,), definition = args, _evaluator(expr.definition(x))
        return lambda bound: definition({**bound, x: inside(bound)})
    name = type(expr).__name__
    if name not in FUNCTIONS:
        raise InternalError(f"no meaning for the function {name}")
    function = FUNCTIONS[name]
    return lambda bound: function(*[arg(bound) for arg in args])
