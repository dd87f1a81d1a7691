"""A diagonal preconditioner over key channels."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from miras_compiler.elements.optimizer.base import Optimizer
from miras_compiler.expressions.symbols import letter, magnitude


class Preconditioned(Optimizer):
    """D is a decayed sum of squared keys; the write key is scaled by a bounded function of its logarithm."""

    kind: Literal["preconditioned"] = "preconditioned"

    formula = "Dₜ = α_d Dₜ₋₁ + η_d k⊙k,  write key m(Dₜ)⊙k"
    citation = "arXiv 2604.21100"

    def write_gain(self) -> sp.Expr:
        """m, in the preconditioner D of a channel."""
        r = sp.log(letter("D") + sp.Rational(1, 10**6)) + sp.Rational(1, 5)
        return sp.exp(-sp.log(sp.Rational(3, 2)) * r / (1 + magnitude(r)))

    def gates(self) -> tuple[str, ...]:
        return ("alpha_d", "eta_d")
