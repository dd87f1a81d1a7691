"""An f-divergence from the previous weights, on a simplex."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Positive, exact
from miras_compiler.elements.retention.base import Retention, Slice
from miras_compiler.elements.user_formula import GENERATOR_IN_T
from miras_compiler.expressions.formula import parse_formula
from miras_compiler.expressions.inverse import closed_ratio
from miras_compiler.expressions.symbols import A, RowMax, RowRoot, W, X, larger, letter, smaller, where_positive

D = letter("d")
T = letter("t")
ZETA = letter("zeta")
FAR_AHEAD = sp.Integer(40)  # twice as much is an exponential that float32 holds, and ζ lies within as much of 0


class FDivergenceRetention(Retention):
    """f is `generator`, an expression in t; ζ keeps the sum of every slice at `total`. No alpha and no momentum."""

    kind: Literal["f_divergence"] = "f_divergence"
    text: Annotated[str, GENERATOR_IN_T] = Field(
        alias="generator", description="f, a convex expression in t, the ratio of a weight to its predecessor."
    )
    slice: Annotated[Slice, Field(description="The axis of a weight matrix whose entries sum to total.")] = "input"
    total: Annotated[Positive, Field(description="c: what the entries of a slice sum to.")] = 1.0

    formula = "Wₜ = Wₜ₋₁ ⊙ max(0, (f′)⁻¹(−ζₜ − ηₜ gₜ))"
    citation = "MIRAS, arXiv 2504.13173, eq. 18"
    space = "primal"
    start = "uniform"
    identity = True

    def function(self) -> sp.Expr:
        """f, in t."""
        return parse_formula(self.text, ("t",))

    def inverse_map(self, slope: sp.Expr) -> sp.Expr:
        """(f')⁻¹ in the dual letter a; raises NoInverseError."""
        return closed_ratio(slope, T)

    def constraint(self) -> sp.Expr | None:
        return exact(self.total)

    def relative_step(self) -> sp.Expr:
        """ζ is counted from the largest step of a weight that is not 0 yet, so that the winner of a slice is exact however large steps are.

        A weight of 0 may have a larger one, which is cut: 0 times its ratio is 0, and stays a number.
        """
        step = X - W  # −eta g
        return smaller(FAR_AHEAD, step - RowMax(where_positive(W, step, -RowMax(-step))))

    def primal_step(self) -> sp.Expr | None:
        ratio = self.inverse_map(sp.diff(self.function(), T)).subs(A, D - ZETA)
        weight = W * larger(sp.Integer(0), ratio)
        return weight.subs(ZETA, RowRoot(sp.Lambda(ZETA, weight), exact(self.total)))

    def gates(self) -> tuple[str, ...]:
        return ()

    def slice_axis(self) -> Slice:
        return self.slice
