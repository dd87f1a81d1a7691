"""The value of a user's formula in PyTorch, read with Python's own parser instead of the compiler's.

The grammar is a subset of Python's expressions (numbers, names, + − * / **, calls of listed functions), so `ast` gives a second,
independent reading of the same text. The tree is walked with a list of allowed nodes; nothing is ever evaluated by Python.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor

from miras_compiler.verify.literal.formula_tree import formula_tree


def formula_value(text: str, names: Mapping[str, Tensor]) -> Tensor:
    """Value of `text` with each name bound to a tensor whose last axis is the row, or has length 1 for one number per token."""
    width = max(tensor.shape[-1] for tensor in names.values())
    one = torch.ones_like(next(iter(names.values()))[..., :1])
    return _value(formula_tree(text), names, one, width)


def _value(node: ast.expr, names: Mapping[str, Tensor], one: Tensor, width: int) -> Tensor:
    def value(part: ast.expr) -> Tensor:
        return _value(part, names, one, width)

    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number) * one
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return value(operand)
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            constant = _value(exponent, {}, torch.ones(1, dtype=torch.float64), 1)
            return _power(value(base), float(constant))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return value(left) * _power(value(right), -1.0)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return value(left) + value(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return value(left) - value(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return value(left) * value(right)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (name, len(arguments)) in FUNCTIONS:
            return FUNCTIONS[name, len(arguments)](*map(value, arguments))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in REDUCTIONS:
            row = value(argument)
            return REDUCTIONS[name](row.expand(*row.shape[:-1], width))
    raise ValueError(f"{ast.unparse(node)!r} is outside the grammar of formulas")


def _power(base: Tensor, exponent: float) -> Tensor:
    """base^exponent; where that is singular (base 0 or, under a fraction, negative) the value and all its derivatives are 0.

    Under a fraction a number below the normal ones counts as 0, too: the second derivative of its root is none.
    """
    if exponent >= 0 and exponent == int(exponent):
        return base.pow(int(exponent))
    defined = base != 0 if exponent == int(exponent) else base > torch.finfo(base.dtype).tiny
    safe = torch.where(defined, base, torch.ones_like(base))
    return torch.where(defined, safe.sqrt() if exponent == 0.5 else safe.pow(exponent), torch.zeros_like(base))


FUNCTIONS: dict[tuple[str, int], Callable[..., Tensor]] = {
    ("abs", 1): torch.abs,
    ("sign", 1): torch.sign,
    ("exp", 1): torch.exp,
    ("log", 1): torch.log,
    ("sqrt", 1): lambda x: _power(x, 0.5),
    ("tanh", 1): torch.tanh,
    ("cosh", 1): torch.cosh,
    ("sinh", 1): torch.sinh,
    ("asinh", 1): torch.asinh,
    ("atan", 1): torch.atan,
    ("erf", 1): torch.erf,
    ("sigmoid", 1): torch.sigmoid,
    ("softplus", 1): lambda x: functional.softplus(x, threshold=50),
    ("log_cosh", 1): lambda x: x + functional.softplus(-2 * x, threshold=50) - math.log(2),
    ("min", 2): lambda x, y: torch.where(x < y, x, y),
    ("max", 2): lambda x, y: torch.where(x > y, x, y),
}

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda row: row.sum(-1, keepdim=True),
    "max": lambda row: row.amax(-1, keepdim=True),
    "norm": lambda row: _power(row.square().sum(-1, keepdim=True), 0.5),
}
