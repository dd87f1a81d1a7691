"""Huber's error, coordinate by coordinate."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.bias.base import ThresholdBias, residual
from miras_compiler.expressions.symbols import RowSum, magnitude, where_positive


def huber_function(a: sp.Expr, delta: sp.Expr) -> sp.Expr:
    """H_δ(a) for a ≥ 0: a²/2 up to δ, then δ(a − δ/2)."""
    return where_positive(a - delta, delta * (a - delta / 2), a**2 / 2)


class HuberBias(ThresholdBias):
    """Its surprise is the residual, each coordinate clipped to [−δ, δ]."""

    kind: Literal["huber"] = "huber"

    formula = "ℓ = Σⱼ H_δ(uⱼ − vⱼ)"
    citation = "MIRAS, arXiv 2504.13173, eq. 14"

    def loss(self) -> sp.Expr:
        return RowSum(huber_function(magnitude(residual()), self.threshold()))
