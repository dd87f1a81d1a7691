"""Monomials up to a degree: OmegaNet and ATLAS."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.feature_map.base import FeatureMap


class PolynomialMap(FeatureMap):
    """K_φ = C(K + degree, degree) features with outer coefficients c_i, so that φ(q)·φ(k) = Σ cᵢ² (q·k)ⁱ."""

    kind: Literal["polynomial"] = "polynomial"
    degree: Annotated[int, Field(ge=1, le=8, description="The highest degree of a monomial.")] = 2

    formula = "φ(x) = (c_|b| √(|b|!/b!) xᵇ) over |b| ≤ degree"
    citation = "ATLAS, arXiv 2505.23735, §3.1"

    def width(self, key_dim: int) -> int:
        """Monomials in K letters of degree up to `degree`."""
        return math.comb(key_dim + self.degree, self.degree)
