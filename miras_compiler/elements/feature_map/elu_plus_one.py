"""The feature map of the first linear transformer."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.feature_map.base import FeatureMap
from miras_compiler.expressions.symbols import X, smaller, where_positive


class EluPlusOneMap(FeatureMap):
    """Positive and increasing; the exponential is never taken of a positive number."""

    kind: Literal["elu_plus_one"] = "elu_plus_one"

    formula = "φ(x) = x + 1 if x > 0 else exp(x)"
    citation = "Katharopoulos et al., arXiv 2006.16236, eq. 7"

    def expression(self) -> sp.Expr:
        return where_positive(X, X + 1, sp.exp(smaller(sp.Integer(0), X)))
