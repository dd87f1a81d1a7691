"""Elastic net in the primal, as MIRAS prints it."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.base import NonNegative
from miras_compiler.elements.retention.base import Retention


class ElasticNetRetention(Retention):
    """A soft threshold of eta · `threshold` after every write."""

    kind: Literal["elastic_net"] = "elastic_net"
    threshold: NonNegative = 0.1

    formula = "Wₜ = S_{ηₜ·threshold}(αₜ Wₜ₋₁ + Sₜ)"
    citation = "MIRAS, arXiv 2504.13173, eq. 22"
    later = "retentions that carry the primal state are not built yet"
    space = "primal"
