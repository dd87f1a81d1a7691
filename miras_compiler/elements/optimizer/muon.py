"""Orthogonalized steps: ATLAS and LaCT."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.optimizer.base import Optimizer


class Muon(Optimizer):
    """NS is five Newton–Schulz steps, with Jordan's or LaCT's coefficients, after every token or once per full chunk."""

    kind: Literal["muon"] = "muon"
    coefficients: Literal["jordan", "lact"] = "jordan"
    apply: Literal["per_token", "chunk_end"] = "per_token"

    formula = "Sₜ = μₜ Sₜ₋₁ − gₜ,  Aₜ = αₜ Aₜ₋₁ + ηₜ NS₅(Sₜ)"
    citation = "ATLAS, arXiv 2505.23735, eq. 32; LaCT, arXiv 2505.23884, §3"
    later = "Newton–Schulz steps are not built yet"

    def gates(self) -> tuple[str, ...]:
        return ("mu",)
