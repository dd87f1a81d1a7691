"""Columns keep their length: LaCT."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.retention.base import Retention


class WeightNormRetention(Retention):
    """After every write each column is scaled back to the norm that it had; it refuses a zero state."""

    kind: Literal["weight_norm"] = "weight_norm"

    formula = "X = αₜ Wₜ₋₁ + Sₜ;  Wₜ = X / max(‖X‖, 1e-5) · ‖Wₜ₋₁‖ per column"
    citation = "LaCT, arXiv 2505.23884, eq. 7"
    later = "retentions that carry the primal state are not built yet"
    space = "primal"
    start = "required"
