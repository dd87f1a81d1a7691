"""Entropy: the weights stay on a simplex. MEMORA."""

from __future__ import annotations

from typing import Annotated, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Positive, exact
from miras_compiler.elements.retention.base import Retention, Slice
from miras_compiler.expressions.symbols import W


class KLRetention(Retention):
    """The entries of every slice sum to c = `total`; `slice` is the axis of a weight matrix that they run over."""

    kind: Literal["kl"] = "kl"
    slice: Annotated[Slice, Field(description="The axis of a weight matrix whose entries sum to total.")] = "input"
    total: Annotated[Positive, Field(description="c: what the entries of a slice sum to.")] = 1.0

    formula = "F = Σ W log W on ΣW = c,  ψ(A) = c · softmax(A)"
    citation = "MIRAS, arXiv 2504.13173, eq. 21, 27"

    def generator(self) -> sp.Expr | None:
        return W * sp.log(W)

    def slice_axis(self) -> Slice:
        return self.slice

    def constraint(self) -> sp.Expr | None:
        return exact(self.total)
