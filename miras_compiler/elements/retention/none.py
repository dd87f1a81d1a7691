"""No retention gate: nothing is forgotten."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import W


class NoRetention(Retention):
    """alpha ≡ 1; there is no gate."""

    kind: Literal["none"] = "none"

    formula = "F = ½‖W‖²,  ψ(A) = A,  α ≡ 1"
    citation = "MIRAS, arXiv 2504.13173, Table 1"
    identity = True

    def gates(self) -> tuple[str, ...]:
        return ()

    def generator(self) -> sp.Expr | None:
        return W**2 / 2
