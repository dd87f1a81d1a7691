"""The feature map φ: a function of one key or query row, inside the operator."""

from __future__ import annotations

import sympy as sp

from miras_compiler.elements.base import Element
from miras_compiler.errors import InternalError


class FeatureMap(Element):
    """Acts alike on keys, queries and erase keys."""

    key = "feature_map"

    def width(self, key_dim: int) -> int:
        """K_φ, the number of features of a row of `key_dim` channels."""
        return key_dim

    def expression(self) -> sp.Expr:
        """φ(x) in X, entrywise but for row reductions."""
        raise InternalError(f"the feature map '{self.kind}' has no mathematics yet")
