"""Divergence between the distributions that value and prediction stand for."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.bias.base import AttentionalBias
from miras_compiler.expressions.symbols import RowMax, RowSum, U, V


def _log_softmax(x: sp.Expr) -> sp.Expr:
    """Logarithm of a softmax, shifted by the largest coordinate against overflow."""
    shifted = x - RowMax(x)
    return shifted - sp.log(RowSum(sp.exp(shifted)))


class KLBias(AttentionalBias):
    """Its surprise is softmax(u) − softmax(v)."""

    kind: Literal["kl"] = "kl"

    formula = "ℓ = KL(softmax(v) ‖ softmax(u))"
    citation = "cross entropy, as an attentional bias in the sense of MIRAS, arXiv 2504.13173, def. 3.1"

    def loss(self) -> sp.Expr:
        return RowSum(sp.exp(_log_softmax(V)) * (_log_softmax(V) - _log_softmax(U)))
