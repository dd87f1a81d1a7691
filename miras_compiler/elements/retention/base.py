"""The retention: the regularizer F whose mirror map ψ = (∇F)⁻¹ turns the dual state into the weights that are read."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Element
from miras_compiler.errors import InternalError

Slice = Literal["input", "output", "all"]


class Retention(Element):
    """`order` says where the surprise is measured: at W_{t−1}, or at the decayed state ψ(alpha_t A_{t−1})."""

    key = "retention"

    order: Annotated[
        Literal["after_gradient", "before_gradient"],
        Field(description="Where the surprise is measured: at the state before the decay, or (before_gradient) at the decayed state."),
    ] = "after_gradient"

    space: ClassVar[Literal["dual", "primal"]] = "dual"  # the meaning of the carried state
    start: ClassVar[Literal["zero", "required", "uniform"]] = "zero"  # the meaning of `initial_state=None`; required: it is refused
    identity: ClassVar[bool] = False  # ψ(A) = A

    def gates(self) -> tuple[str, ...]:
        return ("alpha",)

    def generator(self) -> sp.Expr | None:
        """F: entrywise in W, or a scalar with RowSum over `slice_axis`; None where the papers print a map and no regularizer."""
        if self.space == "primal":
            return None
        raise InternalError(f"the retention '{self.kind}' has no mathematics yet")

    def printed_mirror_map(self) -> sp.Expr | None:
        """ψ as printed, in A with RowSum over `slice_axis`, for the kinds that have no regularizer."""
        return None

    def primal_step(self) -> sp.Expr | None:
        """For a primal space: W_t in X = alpha W_{t−1} + S (letter x), W_{t−1} (w) and eta, with RowSum over `slice_axis`."""
        return None

    def relative_step(self) -> sp.Expr | None:
        """The value d of `primal_step`, in the same letters: a value by itself, so that no sum around it absorbs its last digits."""
        return None

    def slice_axis(self) -> Slice:
        """The axes of a weight matrix that a RowSum or the constraint runs over: its input, its output, or both."""
        return "all"

    def constraint(self) -> sp.Expr | None:
        """The total that the entries of a slice sum to, or None."""
        return None
