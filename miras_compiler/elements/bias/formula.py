"""The user's own attentional bias."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.bias.base import AttentionalBias
from miras_compiler.elements.user_formula import LOSS
from miras_compiler.expressions.formula import names_in, parse_formula
from miras_compiler.expressions.slopes import softened


class FormulaBias(AttentionalBias):
    """An expression in u, v and declared gates, reduced to a scalar by sum, max or norm."""

    kind: Literal["formula"] = "formula"
    text: Annotated[str, LOSS] = Field(
        alias="loss", description="ℓ as an expression in u, v and declared gates, reduced to one number by sum, max or norm."
    )

    formula = "ℓ = your expression in u, v and gates"
    citation = "MIRAS, arXiv 2504.13173, def. 3.1"

    def gates(self) -> tuple[str, ...]:
        return (*super().gates(), *sorted(names_in(self.text) - {"u", "v"}))

    def loss(self) -> sp.Expr:
        return softened(parse_formula(self.text, names_in(self.text)))
