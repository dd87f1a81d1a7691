"""ℓ_p error: MONETA."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Positive, exact
from miras_compiler.elements.bias.base import AttentionalBias, residual
from miras_compiler.expressions.symbols import RowSum, magnitude, power0

EPSILON = sp.Rational(1, 10**6)


class LpBias(AttentionalBias):
    """With `smooth`, MONETA's printed ∂ℓ/∂u = p tanh(a e)(e² + ε)^{(p−1)/2}, ε = 1e-6, a = `slope`: no gradient of ℓ."""

    kind: Literal["lp"] = "lp"
    p: Annotated[float, Field(ge=1, le=64, description="The exponent p of the error.")] = 2.0
    smooth: Annotated[bool, Field(description="MONETA's printed ∂ℓ/∂u = p tanh(a e)(e² + 1e-6)^((p−1)/2) in place of the gradient.")] = (
        False
    )
    slope: Annotated[Positive, Field(description="The a of tanh(a e), where smooth is true.")] = 10.0

    formula = "ℓ = ‖u − v‖ₚᵖ"
    citation = "MIRAS, arXiv 2504.13173, eq. 10–11"

    def loss(self) -> sp.Expr:
        return RowSum(power0(magnitude(residual()), exact(self.p)))

    def derivative(self) -> sp.Expr | None:
        if not self.smooth:
            return None
        e, p = residual(), exact(self.p)
        return p * sp.tanh(exact(self.slope) * e) * (e**2 + EPSILON) ** ((p - 1) / 2)
