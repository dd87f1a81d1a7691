"""Formulas over a row as text: an element's formula for one coordinate, in the letters u, v, e, w, a, x and those of gates."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from miras_compiler.derive.dialects import UNICODE, Dialect
from miras_compiler.derive.expression_text import ATOM, BIG_SUM, ExpressionWriter, Text
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.named import soft_threshold
from miras_compiler.expressions.symbols import RowMax, RowRoot, RowSum
from miras_compiler.ir.nodes import Axes


def formula(expr: sp.Expr, dialect: Dialect = UNICODE, letters: Mapping[str, str] | None = None) -> str:
    """An expression coordinate by coordinate, with sums over the row; `letters` are other names for some of its letters."""
    writer = FormulaWriter(dialect)
    writer.letters = dict(letters or {})
    return writer.expression(expr)[0]


class FormulaWriter(ExpressionWriter):
    """Every letter has one value per coordinate or per row, so that products are of numbers."""

    def symbol(self, symbol: sp.Symbol) -> Text:
        letters = self.letters.get(symbol.name, gate_letters(symbol.name))
        return self.dialect.name(letters, ""), ATOM

    def channels_of(self, expr: sp.Expr) -> Axes:
        return ()

    def function(self, expr: sp.Expr) -> Text:
        d = self.dialect
        if isinstance(expr, RowSum):
            (inside,) = expr.args
            if isinstance(inside, sp.Pow) and inside.exp == 2:
                return self.squared_norm(self.named(inside.base)[0], "")
            return d.total("j", self.at_least(self.named(inside), BIG_SUM)), BIG_SUM
        if isinstance(expr, RowMax):
            return d.call("max", "", self.named(expr.args[0])[0]), ATOM
        if isinstance(expr, RowRoot):
            return d.name("ζ", ""), ATOM
        if isinstance(expr, soft_threshold):
            return d.call("soft", "", ", ".join(self.named(argument)[0] for argument in expr.args)), ATOM
        return super().function(expr)
