"""The user's own regularizer."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.retention.base import Retention
from miras_compiler.elements.user_formula import GENERATOR_IN_W
from miras_compiler.expressions.formula import parse_formula
from miras_compiler.expressions.inverse import closed_inverse, numeric_inverse


class BregmanRetention(Retention):
    """F is `generator`, an expression in w, summed over the entries; ψ solves F'(w) = a."""

    kind: Literal["bregman"] = "bregman"
    text: Annotated[str, GENERATOR_IN_W] = Field(alias="generator", description="F of one weight, a convex expression in w.")
    inverse: Annotated[Literal["closed", "newton"], Field(description="How F′(w) = a is solved: closed in symbols, newton by numbers.")] = (
        "closed"
    )

    formula = "F = Σ your expression in w,  ψ = (F′)⁻¹"
    citation = "MIRAS, arXiv 2504.13173, §5.2 (variant 5)"

    def function(self) -> sp.Expr:
        """F of one entry, in w."""
        return parse_formula(self.text, ("w",))

    def generator(self) -> sp.Expr | None:
        return self.function()

    def inverse_map(self, slope: sp.Expr) -> sp.Expr:
        """ψ from F'; raises NoInverseError."""
        return numeric_inverse(slope) if self.inverse == "newton" else closed_inverse(slope, function=self.function())
