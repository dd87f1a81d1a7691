"""The exact proximal step: Longhorn."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.optimizer.base import Optimizer
from miras_compiler.expressions.symbols import letter


class Implicit(Optimizer):
    """The step that minimizes the error and the way gone together; for an l2 bias on a matrix memory."""

    kind: Literal["implicit"] = "implicit"

    formula = "Sₜ = −ηₜ/(1 + ηₜ s φ(k)φ(k)ᵀ) gₜ"
    citation = "Longhorn, arXiv 2407.14207, §3"

    def step_size(self) -> sp.Expr:
        eta, s, kk = map(letter, ("eta", "s", "kk"))
        return eta / (1 + eta * s * kk)
