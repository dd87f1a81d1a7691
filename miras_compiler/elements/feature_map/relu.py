"""Rectified keys and queries."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.feature_map.base import FeatureMap
from miras_compiler.expressions.symbols import X, relu


class ReluMap(FeatureMap):
    """Sparse and non-negative."""

    kind: Literal["relu"] = "relu"

    formula = "φ(x) = max(0, x)"
    citation = "Kasai et al., arXiv 2103.13076"

    def expression(self) -> sp.Expr:
        return relu(X)
