"""YAAD's switch between an ℓ2 and an ℓ1 surprise, as printed."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Positive, exact
from miras_compiler.elements.bias.base import ThresholdBias, residual
from miras_compiler.expressions.symbols import RowSum, magnitude, row_norm, signum, where_positive


class YaadSwitchBias(ThresholdBias):
    """∂ℓ/∂u = s e if ‖e‖ ≤ δ, else δ sign(e): not a gradient, and its branches differ in length at ‖e‖ = δ."""

    kind: Literal["yaad_switch"] = "yaad_switch"
    scale: Annotated[
        Positive, Field(description="The slope s of the surprise s (u − v); papers that print no ½ before the square have s = 2.")
    ] = 1.0

    formula = "∂ℓ/∂u = s e if ‖e‖ ≤ δ else δ sign(e)"
    citation = "MIRAS, arXiv 2504.13173, eq. 16, 26"

    def loss(self) -> sp.Expr:
        e, delta = residual(), self.threshold()
        return where_positive(row_norm(e) - delta, delta * RowSum(magnitude(e)), exact(self.scale) / 2 * RowSum(e**2))

    def derivative(self) -> sp.Expr | None:
        e, delta = residual(), self.threshold()
        return where_positive(row_norm(e) - delta, delta * signum(e), exact(self.scale) * e)
