"""Decay: the forget gate of most linear models."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import W


class L2Retention(Retention):
    """alpha per head, key channel (rows) or value channel; `value_decay` adds a second gate, alpha_value, per value channel."""

    kind: Literal["l2"] = "l2"
    value_decay: Annotated[bool, Field(description="A second decay, the gate alpha_value, per value channel.")] = False

    formula = "F = ½‖W‖²,  ψ(A) = A"
    citation = "MIRAS, arXiv 2504.13173, §4; Titans, arXiv 2501.00663, eq. 13"
    identity = True

    def gates(self) -> tuple[str, ...]:
        return ("alpha", "alpha_value") if self.value_decay else ("alpha",)

    def generator(self) -> sp.Expr | None:
        return W**2 / 2
