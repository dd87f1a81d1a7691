"""An f-divergence from the previous weights, on a simplex."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.base import Positive
from miras_compiler.elements.retention.base import Retention, Slice
from miras_compiler.elements.user_formula import GENERATOR_IN_T


class FDivergenceRetention(Retention):
    """f is `generator`, an expression in t; ζ keeps the sum of every slice at `total`. No alpha and no momentum."""

    kind: Literal["f_divergence"] = "f_divergence"
    text: Annotated[str, GENERATOR_IN_T] = Field(alias="generator")
    slice: Slice = "input"
    total: Positive = 1.0

    formula = "Wₜ = Wₜ₋₁ ⊙ max(0, (f′)⁻¹(−ζₜ − ηₜ gₜ))"
    citation = "MIRAS, arXiv 2504.13173, eq. 17–18"
    later = "retentions that carry the primal state are not built yet"
    space = "primal"
    start = "uniform"

    def gates(self) -> tuple[str, ...]:
        return ()

    def slice_axis(self) -> Slice:
        return self.slice
