"""Keys and queries as they are."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.feature_map.base import FeatureMap
from miras_compiler.expressions.symbols import X


class IdentityMap(FeatureMap):
    """The default."""

    kind: Literal["identity"] = "identity"

    formula = "φ(x) = x"
    citation = "–"

    def expression(self) -> sp.Expr:
        return X
