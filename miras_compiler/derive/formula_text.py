"""Formulas over a row as text: an element's formula for one coordinate, in the letters u, v, e, w, a, x and those of gates."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sympy as sp

from miras_compiler.derive.dialects import UNICODE, Dialect
from miras_compiler.derive.expression_text import ATOM, BIG_SUM, ExpressionWriter, Text
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.expressions.symbols import RowMax, RowRoot, RowSum
from miras_compiler.ir.nodes import Axes

ROWS = ("u", "v", "e", "a", "w", "x", "d")


def formula(expr: sp.Expr, dialect: Dialect = UNICODE, letters: Mapping[str, str] | None = None, rows: Collection[str] = ROWS) -> str:
    """An expression over rows, entry by entry, with sums over the row.

    `letters` are other names for some of its letters; `rows` are those that have a value per coordinate, all others are numbers.
    """
    writer = FormulaWriter(dialect, rows)
    writer.letters = dict(letters or {})
    return writer.expression(expr)[0]


class FormulaWriter(ExpressionWriter):
    """Products of rows are entrywise; a number stands in front."""

    def __init__(self, dialect: Dialect, rows: Collection[str]) -> None:
        super().__init__(dialect)
        self.rows = rows

    def symbol(self, symbol: sp.Symbol) -> Text:
        name = symbol.name
        letters = self.letters.get(name) or {"zeta": "ζ"}.get(name) or (name if name in ROWS else gate_letters(name))
        return self.dialect.name(letters, ""), ATOM

    def channels_of(self, expr: sp.Expr) -> Axes:
        """The axis of a row, where the expression has a value per coordinate."""
        if isinstance(expr, sp.Symbol):
            return ("v",) if expr.name in self.rows else ()
        if isinstance(expr, RowSum | RowMax | RowRoot):
            return ()
        return next(filter(None, map(self.channels_of, expr.args)), ())

    def function(self, expr: sp.Expr) -> Text:
        d = self.dialect
        if isinstance(expr, RowSum):
            (inside,) = expr.args
            if isinstance(inside, sp.Pow) and inside.exp == 2:
                return self.squared_norm(self.named(inside.base)[0], "")
            return d.total("", self.at_least(self.named(inside), BIG_SUM)), BIG_SUM
        if isinstance(expr, RowMax):
            return d.call("max", "", self.named(expr.args[0])[0]), ATOM
        if isinstance(expr, RowRoot):
            return d.name("ζ", ""), ATOM
        return super().function(expr)
