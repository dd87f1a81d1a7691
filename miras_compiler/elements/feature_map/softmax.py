"""Keys and queries as distributions over their channels."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.feature_map.base import FeatureMap
from miras_compiler.expressions.symbols import RowMax, RowSum, X


class SoftmaxMap(FeatureMap):
    """Shifted by the largest channel against overflow, so that the sum is at least 1."""

    kind: Literal["softmax"] = "softmax"

    formula = "φ(x) = exp(x) / Σⱼ exp(xⱼ)"
    citation = "Shen et al., arXiv 1812.01243"

    def expression(self) -> sp.Expr:
        shifted = sp.exp(X - RowMax(X))
        return shifted / RowSum(shifted)
