"""Orthogonalized steps: ATLAS and LaCT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.optimizer.base import Optimizer

JORDAN = ("3.4445", "-4.7750", "2.0315")
LACT = (
    ("4.0848", "-6.8946", "2.9270"), ("3.9505", "-6.3029", "2.6377"), ("3.7418", "-5.5913", "2.3037"), ("2.8769", "-3.1427", "1.2046"),
    ("2.8366", "-3.0525", "1.2012"),
)  # fmt: skip


class Muon(Optimizer):
    """NS is five Newton–Schulz steps, with Jordan's or LaCT's coefficients, after every token or once per full chunk."""

    kind: Literal["muon"] = "muon"
    coefficients: Annotated[Literal["jordan", "lact"], Field(description="The coefficients of the five Newton–Schulz steps.")] = "jordan"
    apply: Annotated[
        Literal["per_token", "chunk_end"],
        Field(description="When the step is orthogonalized: per_token every one, chunk_end the sum of a full chunk, once."),
    ] = "per_token"

    formula = "Sₜ = μₜ Sₜ₋₁ − gₜ,  Aₜ = αₜ Aₜ₋₁ + ηₜ NS₅(Sₜ)"
    citation = "ATLAS, arXiv 2505.23735, eq. 32; LaCT, arXiv 2505.23884, eq. 9"
    momentum = True

    def triples(self) -> tuple[tuple[str, str, str], ...]:
        """a, b and c of the five steps."""
        return (JORDAN,) * 5 if self.coefficients == "jordan" else LACT

    def gates(self) -> tuple[str, ...]:
        return ("mu",)
