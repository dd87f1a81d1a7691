"""Binary entropy: every weight stays between 0 and 1."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import W


class SigmoidRetention(Retention):
    """Every weight is a bounded switch; at A = 0 it is ½."""

    kind: Literal["sigmoid"] = "sigmoid"

    formula = "F = W log W + (1 − W) log(1 − W),  ψ(A) = sigmoid(A)"
    citation = "MIRAS, arXiv 2504.13173, §5.2 (variant 5)"

    def generator(self) -> sp.Expr | None:
        return W * sp.log(W) + (1 - W) * sp.log(1 - W)
