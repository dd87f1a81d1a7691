"""Huber's error of the norm of the residual."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.bias.base import ThresholdBias, residual
from miras_compiler.expressions.symbols import RowSum, row_norm, where_positive


class HuberNormBias(ThresholdBias):
    """Its surprise is the residual, shortened to length δ where it is longer: the continuous form of YAAD's idea."""

    kind: Literal["huber_norm"] = "huber_norm"

    formula = "ℓ = H_δ(‖u − v‖)"
    citation = "MIRAS, arXiv 2504.13173, eq. 15"

    def loss(self) -> sp.Expr:
        e, delta = residual(), self.threshold()
        norm = row_norm(e)
        return where_positive(norm - delta, delta * (norm - delta / 2), RowSum(e**2) / 2)
