"""The user's own feature map."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.feature_map.base import FeatureMap
from miras_compiler.elements.user_formula import MAP
from miras_compiler.expressions.formula import parse_formula
from miras_compiler.expressions.slopes import softened


class FormulaMap(FeatureMap):
    """`map` is an expression in x, entrywise; sum, max and norm run over the channels of the row."""

    kind: Literal["formula"] = "formula"
    text: Annotated[str, MAP] = Field(
        alias="map", description="φ as an expression in x, entrywise; sum, max and norm run over the channels of the row."
    )

    formula = "φ(x) = your expression in x"
    citation = "–"

    def expression(self) -> sp.Expr:
        return softened(parse_formula(self.text, ("x",)))
