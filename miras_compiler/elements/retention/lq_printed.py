"""MONETA's normalization, as printed."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import exact
from miras_compiler.elements.retention.base import Retention
from miras_compiler.expressions.symbols import A, RowSum, magnitude, power0


class LqPrintedRetention(Retention):
    """Not the mirror map of a norm: at q = 4 it has degree −1, so that doubling A halves W. It refuses a zero state."""

    kind: Literal["lq_printed"] = "lq_printed"
    q: Annotated[float, Field(gt=1, le=64, description="The q of the norm that the state is divided by, to the power q − 2.")] = 4.0

    formula = "ψ(A) = A / ‖A‖_q^{q−2}"
    citation = "MIRAS, arXiv 2504.13173, eq. 24–25"
    start = "required"

    def generator(self) -> sp.Expr | None:
        return None

    def printed_mirror_map(self) -> sp.Expr | None:
        q = exact(self.q)
        return A * power0(RowSum(power0(magnitude(A), q)), (2 - q) / q)
