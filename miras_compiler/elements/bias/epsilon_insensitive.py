"""Absolute error with a dead zone."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import NonNegative, exact
from miras_compiler.elements.bias.base import AttentionalBias, residual
from miras_compiler.expressions.symbols import RowSum, larger, magnitude


class EpsilonInsensitiveBias(AttentionalBias):
    """Errors up to ε = `epsilon` write nothing."""

    kind: Literal["epsilon_insensitive"] = "epsilon_insensitive"
    epsilon: Annotated[NonNegative, Field(description="Errors up to ε write nothing.")] = 0.1

    formula = "ℓ = Σⱼ max(0, |uⱼ − vⱼ| − ε)"
    citation = "the error of support vector regression, as an attentional bias in the sense of MIRAS, arXiv 2504.13173, def. 3.1"

    def loss(self) -> sp.Expr:
        return RowSum(larger(magnitude(residual()) - exact(self.epsilon), sp.Integer(0)))
