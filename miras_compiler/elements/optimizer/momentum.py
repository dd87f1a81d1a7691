"""Momentum: past surprise."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.optimizer.base import Optimizer


class Momentum(Optimizer):
    """mu decays the past surprise; the state carries S beside A."""

    kind: Literal["momentum"] = "momentum"

    formula = "Sₜ = μₜ Sₜ₋₁ − ηₜ gₜ,  Aₜ = αₜ Aₜ₋₁ + Sₜ"
    citation = "Titans, arXiv 2501.00663, eq. 13–14"
    momentum = True

    def gates(self) -> tuple[str, ...]:
        return ("mu",)
