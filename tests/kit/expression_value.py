"""The value of an expression of `symbols` in numpy, written here a second time so that no test compares a table with itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of

Array = NDArray[np.float64]


def power0(base: Array, exponent: float) -> Array:
    """base**exponent, 0 at base 0 and where a fractional power is not real."""
    defined = (base > 0) | ((base < 0) & float(exponent).is_integer())
    with np.errstate(all="ignore"):
        return np.where(defined, np.power(base, exponent), 0.0)


def normal_cdf(x: Array) -> Array:
    return np.asarray([(1 + math.erf(y / math.sqrt(2))) / 2 for y in x.ravel()]).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    return np.asarray((1 + np.tanh(x / 2)) / 2)


def gelu(x: Array) -> Array:
    return x * normal_cdf(x)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "RowSum": lambda x: np.sum(x, axis=-1, keepdims=True),
    "RowMax": lambda x: np.max(x, axis=-1, keepdims=True),
    "Power0": power0,
    "Pow": np.power,
    "Add": lambda *terms: sum(terms),
    "Mul": lambda *factors: math.prod(factors),
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "cosh": np.cosh,
    "sinh": np.sinh,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "sigmoid": sigmoid,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "normal_cdf": normal_cdf,
    "gelu": gelu,
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
    "attains": lambda x, largest: np.where(x >= largest, 1.0, 0.0),
    "magnitude": np.abs,
    "signum": np.sign,
    "smaller": np.minimum,
    "larger": np.maximum,
    "where_positive": lambda c, x, y: np.where(c > 0, x, y),
}


def value(expr: sp.Basic, **letters: Any) -> Array:
    """The expression at these values of its letters; rows run along the last axis."""
    if isinstance(expr, sp.Symbol):
        return np.asarray(letters[expr.name], dtype=np.float64)
    if not expr.args:
        return np.asarray(float(expr))
    if type(expr).__name__ not in FUNCTIONS and hasattr(expr, "definition"):
        return value(expr.definition(*expr.args), **letters)
    return np.asarray(FUNCTIONS[type(expr).__name__](*(value(argument, **letters) for argument in expr.args)))


def slope(function: Callable[[Array], Array], at: Array, width: float = 1e-6) -> Array:
    """The gradient of the sum of the function's entries, by central differences, entry by entry."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = width
        gradient[index] = float(np.sum(function(at + step)) - np.sum(function(at - step))) / (2 * width)
    return gradient


def random_leaves(program: Program, lengths: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Standard normal numbers for every leaf of a tile program, by name; its axes are as long as `lengths` says."""
    generator = np.random.default_rng(seed)
    return {leaf.name: generator.standard_normal([lengths[axis] for axis in leaf.axes]) for leaf in leaves_of(program)}
