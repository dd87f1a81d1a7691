"""Sentences with formulas on the attentional bias and the retention of a rule: the choices, and the formulas derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sympy as sp

from miras_compiler.derive.chain_rule import in_residual, row_sum
from miras_compiler.derive.dialects import UNICODE, Dialect
from miras_compiler.derive.expression_text import number_text
from miras_compiler.derive.formula_text import formula
from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.parts import MirrorMap
from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.expressions.symbols import E, RowMax, RowSum

PRIMAL_LETTERS = {"x": "X", "w": "W[t−1]", "d": "R"}
SLICES = {"input": "over the input axis of a weight matrix", "output": "over its output axis", "all": "over a weight matrix"}


class DerivationLine(NamedTuple):
    """`left` = `right`, after words that say how it follows from the statement before; `remark` stands behind it."""

    words: str
    left: str
    right: str
    remark: str = ""

    def text(self) -> str:
        return f"{self.left} = {self.right}"


def statement_lines(statements: Sequence[DerivationLine]) -> list[str]:
    """Plain text: a formula a line, the words in parentheses behind it."""
    remarks = ["; ".join(filter(None, (each.remark, each.words))) for each in statements]
    return [f"  {each.text()}" + (f"   ({remark})" if remark else "") for each, remark in zip(statements, remarks, strict=True)]


def bias_statements(rule: UpdateRule, dialect: Dialect = UNICODE) -> list[DerivationLine]:
    """ℓ, and ∂ℓ/∂u, with the truth on whether it is the gradient."""
    surprise, slope = rule.surprise, rule.bias_derivative
    loss = in_residual(surprise.loss)
    residual = [dialect.inline(f"e = u {dialect.sign} v")] if loss.has(E) or slope.has(E) else []
    measured = f"{dialect.inline('u')} is the memory at the key, {dialect.inline('v')} the value"
    rows = ["u", "v", "e", *(name for name, gate in rule.gates.items() if gate.axes)]
    letters = {name: gate_letters(name) for name in rule.gates}
    words = "its gradient"
    if surprise.printed:
        words = "no gradient of ℓ, but what the paper prints in its place"
    elif surprise.clip is not None:
        words = f"its gradient, shortened to the length {number_text(surprise.clip)} where it is longer"
    if surprise.weighed and surprise.window == 1:
        words += ", times the weight γ of the token"
    left = dialect.name("∂ℓ/∂u", "")
    return [
        DerivationLine("", dialect.name("ℓ", ""), formula(loss, dialect, letters, rows), "; ".join([*residual, measured])),
        DerivationLine(words, left, formula(slope, dialect, letters, rows)),
    ]


def retention_statements(rule: UpdateRule, dialect: Dialect = UNICODE) -> list[DerivationLine]:
    """F and ψ; for the kinds without F the printed map; for a primal kind the step of the weights."""
    mirror = rule.mirror
    psi = dialect.call("ψ", "", dialect.name("a", ""))
    if mirror.step is not None:
        return _primal_statements(mirror, mirror.step, dialect)
    generator = mirror.generator
    if generator is None:
        words = "the map that the paper prints, without a regularizer"
        return [DerivationLine(words, psi, formula(rule.mirror_map, dialect), _axis(mirror, rule.mirror_map))]
    total = mirror.constraint
    condition = "" if total is None else f"Σ w = {number_text(total)} {SLICES[mirror.slices]}"
    solved = "F′(w) = a" if total is None else f"F′(w) = a − λ, with the multiplier λ for which {condition}"
    return [
        DerivationLine("", dialect.name("F", ""), formula(whole(generator), dialect), condition or _axis(mirror, generator)),
        DerivationLine(f"the w that solves {solved}", psi, formula(rule.mirror_map, dialect)),
    ]


def _primal_statements(mirror: MirrorMap, step: sp.Expr, dialect: Dialect) -> list[DerivationLine]:
    relative, total, found = mirror.relative, mirror.constraint, []
    if relative is not None:
        right = formula(relative, dialect, PRIMAL_LETTERS)
        found.append(DerivationLine("counted from the largest step", dialect.name("R", ""), right, _axis(mirror, relative)))
    remark = "" if total is None else f"ζ is the number for which Σ W = {number_text(total)} {SLICES[mirror.slices]}"
    words = "the weights themselves are mapped, X being the weights behind the step of the optimizer"
    right = formula(step, dialect, PRIMAL_LETTERS)
    return [*found, DerivationLine(words, dialect.name("W", ""), right, remark or _axis(mirror, step))]


def whole(generator: sp.Expr) -> sp.Expr:
    """F of all weights, from a generator that says it entry by entry, or of the whole."""
    return generator if generator.has(RowSum, RowMax) else row_sum(generator)


def _axis(mirror: MirrorMap, expr: sp.Expr) -> str:
    """The weights that reductions run over, where there are some."""
    return f"sums, norms and maxima run {SLICES[mirror.slices]}" if expr.has(RowSum, RowMax) else ""
