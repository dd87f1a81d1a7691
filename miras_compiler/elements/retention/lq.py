"""The squared ℓ_q norm, with its true mirror map."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import exact
from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import RowSum, W, magnitude, power0


class LqRetention(Retention):
    """1 < q ≤ 2; p = q/(q−1). The norm runs over one head's weight matrix."""

    kind: Literal["lq"] = "lq"
    q: Annotated[float, Field(gt=1, le=2, description="The q of the norm; at q = 2 the map is the identity.")] = 2.0

    formula = "F = ‖W‖_q² / (2(q−1)),  ψ(A) = (q−1) sign(A)|A|^{p−1} / ‖A‖ₚ^{p−2}"
    citation = "MIRAS, arXiv 2504.13173, §5.2 (variant 4), with the map that is its argmin"

    def generator(self) -> sp.Expr | None:
        q = exact(self.q)
        return power0(RowSum(power0(magnitude(W), q)), 2 / q) / (2 * (q - 1))
