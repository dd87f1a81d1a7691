"""Dot-product similarity: linear attention."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.bias.base import AttentionalBias
from miras_compiler.expressions.symbols import RowSum, U, V


class DotProductBias(AttentionalBias):
    """Its surprise does not depend on the memory: a Hebbian write."""

    kind: Literal["dot_product"] = "dot_product"

    formula = "ℓ = −⟨u, v⟩"
    citation = "MIRAS, arXiv 2504.13173, eq. 8"

    def loss(self) -> sp.Expr:
        return -RowSum(U * V)
