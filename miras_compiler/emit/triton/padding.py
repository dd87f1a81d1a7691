"""Widths are padded to powers of two. Which tiles are 0 in the padding, so that sums over it need no mask; none is infinite there."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from miras_compiler.expressions.activations import Composite
from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import TOKEN_AXES, Contract, Cumulate, Decayed, Leaf, Map, Mask, Node, Reduce, Rename, Start
from miras_compiler.passes.brackets import Brackets

STEEP = (sp.exp, sp.cosh, sp.sinh, sp.log)  # of a number that is nobody's they may have no value in float32


class Padding:
    """Leaves are loaded with zeros in the padding; the rest follows from that. `rows`: whether tiles have rows behind their tokens."""

    def __init__(self, rows: bool = False) -> None:
        self.rows = rows
        self.known: dict[tuple[Node, str], bool] = {}

    def is_zero(self, node: Node, axis: str) -> bool:
        """True if `node` is 0 behind the width of `axis`, or weighs 0 there in every sum, as tokens do that are in no tile."""
        return axis in TOKEN_AXES or self.holds_zero(node, axis)

    def holds_zero(self, node: Node, axis: str) -> bool:
        """True if `node` itself is 0 behind the width of `axis`."""
        if axis not in node.axes:
            return False
        key = (node, axis)
        if key not in self.known:
            self.known[key] = self._is_zero(node, axis)
        return self.known[key]

    def behind(self, expr: sp.Expr, args: Sequence[Node], axis: str) -> sp.Expr:
        """The expression with 0 for the arguments that are 0 behind the width of `axis`."""
        zeros = {placeholder(i): sp.Integer(0) for i, arg in enumerate(args) if self.holds_zero(arg, axis)}
        return expr.xreplace(zeros)

    def is_undefined(self, node: Map, axis: str) -> bool:
        """True if a Map may have no value behind the width of `axis`: it is printed as 0 there, for 0 · nan and 0 · ∞ are no 0.

        0 / 0 has none; and exp(x − max x) may be infinite, for padding is no part of the largest entry. Rows behind the tokens of a tile
        are zeros where they are loaded, too; values made of them are computed as those of tokens.
        """
        is_row = axis in TOKEN_AXES
        if is_row and not self.rows:
            return False
        return (not is_row and self._is_steep(node, axis)) or bool(self.behind(node.expr, node.args, axis).has(sp.nan, sp.zoo, sp.oo))

    def _is_steep(self, node: Map, axis: str) -> bool:
        """True if a steep function is taken of other numbers behind the width of `axis` than inside, and of unknown ones."""
        along = {placeholder(i) for i, arg in enumerate(node.args) if axis in arg.axes}
        known = {placeholder(i) for i in range(len(node.args))}
        steep = (part for part in node.expr.atoms(*STEEP, sp.Pow) if _is_steep(part) and part.free_symbols & along)
        return any(self.behind(part, node.args, axis).free_symbols & known for part in steep)

    def _is_zero(self, node: Node, axis: str) -> bool:
        match node:
            case Leaf() | Start() | Brackets():
                return True
            case Map():
                return self.is_undefined(node, axis) or bool(_written_out(self.behind(node.expr, node.args, axis)) == 0)
            case Contract(args=(a, b)):
                return self.holds_zero(a if axis in a.axes else b, axis)
            case Decayed():
                return any(self.holds_zero(node.factors[name], axis) for name in ("rows", "columns") if name in node.factors)
            case Rename(args=(a,)):
                return self.holds_zero(a, node.old if axis == node.new else axis)
            case Cumulate(args=(a,)):
                return axis != node.axis and self.holds_zero(a, axis)
            case Reduce(args=(a,)) | Mask(args=(a,)):
                return self.holds_zero(a, axis)
        return False


def _is_steep(expr: sp.Expr) -> bool:
    if isinstance(expr, sp.Pow):
        return bool(expr.exp.is_negative and not expr.base.is_positive)
    return not (isinstance(expr, sp.exp) and expr.args[0].is_nonpositive)


def _written_out(expr: sp.Expr) -> sp.Expr:
    """The expression with the definitions of activations in place of their names, where the argument is a number."""
    return expr.replace(
        lambda e: isinstance(e, Composite) and e.args[0].is_number, lambda e: e.definition(e.args[0]) if e.args[0].is_number else e
    )
