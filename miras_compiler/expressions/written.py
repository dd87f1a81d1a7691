"""The text of a formula: its parse gives the expression back."""

from __future__ import annotations

import sympy as sp

from miras_compiler.expressions.symbols import (
    Power0,
    RowMax,
    RowSum,
    larger,
    magnitude,
    sigmoid,
    signum,
    smaller,
    softplus,
)


def formula_text(expr: sp.Expr) -> str:
    """The formula whose parse gives this expression back."""
    if isinstance(expr, sp.Rational):
        return f"({expr})" if expr < 0 or expr.q != 1 else str(expr)
    if isinstance(expr, sp.Symbol):
        return str(expr.name)
    if isinstance(expr, sp.Add):
        return f"({' + '.join(map(formula_text, expr.args))})"
    if isinstance(expr, sp.Mul):
        return "*".join(map(formula_text, expr.args))
    if isinstance(expr, sp.Pow | Power0):
        base, exponent = map(formula_text, expr.args)
        return f"({base})**{exponent}" if isinstance(expr.args[0], sp.Mul | sp.Pow | Power0) else f"{base}**{exponent}"
    return f"{_NAME_OF[type(expr)]}({', '.join(map(formula_text, expr.args))})"


_NAME_OF: dict[type[sp.Basic], str] = {
    magnitude: "abs", signum: "sign", sp.exp: "exp", sp.log: "log", sp.tanh: "tanh", sp.cosh: "cosh", sp.sinh: "sinh",
    sp.asinh: "asinh", sp.atan: "atan", sp.erf: "erf",
    sigmoid: "sigmoid", softplus: "softplus", smaller: "min", larger: "max", RowMax: "max", RowSum: "sum",
}  # fmt: skip
