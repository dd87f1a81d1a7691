"""Squared error: the delta rule and Titans."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Positive, exact
from miras_compiler.elements.bias.base import AttentionalBias, residual
from miras_compiler.expressions.symbols import RowSum


class L2Bias(AttentionalBias):
    """`scale` is s: papers mix the squared error with (s = 1) and without (s = 2) the factor ½."""

    kind: Literal["l2"] = "l2"
    scale: Annotated[
        Positive, Field(description="The slope s of the surprise s (u − v); papers that print no ½ before the square have s = 2.")
    ] = 1.0

    formula = "ℓ = (s/2) ‖u − v‖²"
    citation = "MIRAS, arXiv 2504.13173, eq. 9; Titans, arXiv 2501.00663, eq. 12"

    def loss(self) -> sp.Expr:
        return exact(self.scale) / 2 * RowSum(residual() ** 2)
