"""The attentional bias: a scalar ℓ(u, v) of one row, and where the paper prints no gradient of it, its ∂ℓ/∂u."""

from __future__ import annotations

from typing import Annotated

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Element, Positive, exact
from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import U, V, letter

Threshold = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)] | Positive


def residual() -> sp.Expr:
    """e = u − v. A function: sympy's first sum imports its tensors, which a check of a spec has no use for."""
    return U - V


class AttentionalBias(Element):
    """The inner objective. `window: c` sums it over the last c tokens, weighted by the gate gamma (ATLAS eq. 9).

    `clip` shortens ∂ℓ/∂u of a token to that length where it is longer.
    """

    key = "attentional_bias"

    clip: Annotated[
        Positive | None,
        Field(description="The greatest length of ∂ℓ/∂u of a token: it is shortened to it where it is longer. null: no limit."),
    ] = None
    window: Annotated[
        Annotated[int, Field(ge=1, le=65536)] | None,
        Field(
            description="The number of tokens whose losses are summed at every token, weighted by the gate gamma. null: the token alone."
        ),
    ] = None

    def gates(self) -> tuple[str, ...]:
        return ("gamma",) if self.window is not None else ()

    def loss(self) -> sp.Expr:
        """ℓ of one row in U, V and the letters of gates, with row reductions; the printed one also where it is no potential."""
        raise InternalError(f"the attentional bias '{self.kind}' has no mathematics yet")

    def derivative(self) -> sp.Expr | None:
        """None: ∂ℓ/∂u is derived from the loss. An expression for the kinds whose printed ∂ℓ/∂u is no gradient."""
        return None


class ThresholdBias(AttentionalBias):
    """A bias with a threshold δ > 0: the name of a gate, or a number."""

    delta: Annotated[Threshold, Field(description="The threshold δ > 0: the name of a gate, or a number.")] = "delta"

    def gates(self) -> tuple[str, ...]:
        return (*super().gates(), *((self.delta,) if isinstance(self.delta, str) else ()))

    def threshold(self) -> sp.Expr:
        """δ as an expression."""
        return letter(self.delta) if isinstance(self.delta, str) else exact(self.delta)
