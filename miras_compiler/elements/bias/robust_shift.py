"""Squared error against the worst shift of the value."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import NonNegative, exact
from miras_compiler.elements.bias.base import AttentionalBias, residual
from miras_compiler.expressions.symbols import RowSum, row_norm


class RobustShiftBias(AttentionalBias):
    """The value may have moved by up to Δ = `shift` in any direction."""

    kind: Literal["robust_shift"] = "robust_shift"
    shift: Annotated[NonNegative, Field(description="Δ: how far the value may have moved, in any direction.")] = 1.0

    formula = "ℓ = max over ‖Δv‖ ≤ Δ of ½‖u − v − Δv‖² = ½‖e‖² + Δ‖e‖ + ½Δ²"
    citation = "MIRAS, arXiv 2504.13173, eq. 17"

    def loss(self) -> sp.Expr:
        e, shift = residual(), exact(self.shift)
        return RowSum(e**2) / 2 + shift * row_norm(e) + shift**2 / 2
