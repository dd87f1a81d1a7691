"""Columns keep their length: LaCT."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.retention.base import Retention, Slice
from miras_compiler.expressions.symbols import W, X, larger, row_norm

SHORTEST = sp.Rational(1, 10**5)


class WeightNormRetention(Retention):
    """After every write each column is scaled back to the norm that it had; it refuses a zero state."""

    kind: Literal["weight_norm"] = "weight_norm"

    formula = "X = αₜ Wₜ₋₁ + Sₜ;  Wₜ = X / max(‖X‖, 1e-5) · ‖Wₜ₋₁‖ per column"
    citation = "LaCT, arXiv 2505.23884, eq. 8"
    space = "primal"
    start = "required"
    identity = True

    def primal_step(self) -> sp.Expr | None:
        return X * row_norm(W) / larger(SHORTEST, row_norm(X))

    def slice_axis(self) -> Slice:
        return "input"
