"""A diagonal preconditioner over key channels."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.optimizer.base import Optimizer


class Preconditioned(Optimizer):
    """D is a decayed sum of squared keys; the write key is scaled by a bounded function of its logarithm."""

    kind: Literal["preconditioned"] = "preconditioned"

    formula = "Dₜ = α_d Dₜ₋₁ + η_d k⊙k,  write key m(Dₜ)⊙k"
    citation = "arXiv 2604.21100"
    later = "the preconditioner's state is not built yet"

    def gates(self) -> tuple[str, ...]:
        return ("alpha_d", "eta_d")
