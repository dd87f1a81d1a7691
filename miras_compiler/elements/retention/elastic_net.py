"""Elastic net in the primal, as MIRAS prints it."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import NonNegative, exact
from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import X, letter, where_positive


class ElasticNetRetention(Retention):
    """A soft threshold of eta · `threshold` after every write."""

    kind: Literal["elastic_net"] = "elastic_net"
    threshold: Annotated[NonNegative, Field(description="After every write each weight moves towards 0 by eta times this.")] = 0.1

    formula = "Wₜ = S_{ηₜ·threshold}(αₜ Wₜ₋₁ + Sₜ)"
    citation = "MIRAS, arXiv 2504.13173, eq. 22"
    space = "primal"
    identity = True

    def primal_step(self) -> sp.Expr | None:
        gap = letter("eta") * exact(self.threshold)
        return where_positive(X - gap, X - gap, where_positive(X + gap, sp.Integer(0), X + gap))  # nan stays nan
