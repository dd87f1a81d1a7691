"""Elastic net in the dual: a sparse memory."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import NonNegative, exact
from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import W, magnitude


class ElasticNetFTRLRetention(Retention):
    """λ = `threshold`; weights whose dual is smaller than λ are read as 0."""

    kind: Literal["elastic_net_ftrl"] = "elastic_net_ftrl"
    threshold: Annotated[NonNegative, Field(description="λ: weights whose dual is smaller are read as 0.")] = 0.1

    formula = "F = ½‖W‖² + λ‖W‖₁,  ψ(A) = sign(A) max(0, |A| − λ)"
    citation = "MIRAS, arXiv 2504.13173, eq. 23, as discounted FTRL"

    def generator(self) -> sp.Expr | None:
        return W**2 / 2 + exact(self.threshold) * magnitude(W)
