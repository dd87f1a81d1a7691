"""The user's own regularizer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.retention.base import Retention
from miras_compiler.elements.user_formula import GENERATOR_IN_W


class BregmanRetention(Retention):
    """F is `generator`, an expression in w, summed over the entries; ψ solves F'(w) = a."""

    kind: Literal["bregman"] = "bregman"
    text: Annotated[str, GENERATOR_IN_W] = Field(alias="generator")
    inverse: Literal["closed", "newton"] = "closed"

    formula = "F = Σ your expression in w,  ψ = (F′)⁻¹"
    citation = "MIRAS, arXiv 2504.13173, §4"
    later = "solving for the mirror map of a regularizer of your own is not built yet"
