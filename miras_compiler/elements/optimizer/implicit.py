"""The exact proximal step: Longhorn."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.optimizer.base import Optimizer


class Implicit(Optimizer):
    """The step that minimizes the error and the way gone together; for an l2 bias on a matrix memory."""

    kind: Literal["implicit"] = "implicit"

    formula = "Sₜ = −ηₜ/(1 + ηₜ s φ(k)φ(k)ᵀ) gₜ"
    citation = "Longhorn, arXiv 2407.14207, eq. 8"
    later = "the implicit step size is not built yet"
