"""Nesterov's momentum: the surprise is measured ahead."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.optimizer.base import Optimizer


class Nesterov(Optimizer):
    """Needs every gradient at the state that its token finds (`gradient: exact`)."""

    kind: Literal["nesterov"] = "nesterov"

    formula = "gₜ at ψ(Aₜ₋₁ + μₜ Sₜ₋₁),  Sₜ = μₜ Sₜ₋₁ − ηₜ gₜ"
    citation = "Nesterov 1983, on Titans, arXiv 2501.00663, eq. 13–14"
    momentum = True
    looks_ahead = True

    def gates(self) -> tuple[str, ...]:
        return ("mu",)
