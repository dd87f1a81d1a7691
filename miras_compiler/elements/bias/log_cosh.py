"""Logarithm of the hyperbolic cosine: a smooth Huber error."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.bias.base import AttentionalBias, residual
from miras_compiler.expressions.symbols import RowSum


class LogCoshBias(AttentionalBias):
    """Its surprise is tanh(e)."""

    kind: Literal["log_cosh"] = "log_cosh"

    formula = "ℓ = Σⱼ log cosh(uⱼ − vⱼ)"
    citation = "a smooth robust error, as an attentional bias in the sense of MIRAS, arXiv 2504.13173, def. 3.1"

    def loss(self) -> sp.Expr:
        return RowSum(sp.log(sp.cosh(residual())))
