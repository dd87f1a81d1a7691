"""The inner optimizer: it turns the surprise into the step S that is added to the dual state."""

from __future__ import annotations

from typing import ClassVar

import sympy as sp

from miras_compiler.elements.base import Element
from miras_compiler.expressions.symbols import letter


class Optimizer(Element):
    """Every optimizer reads the step size eta; `gates` names the other gates that it reads."""

    key = "optimizer"

    momentum: ClassVar[bool] = False  # the state carries S beside A
    looks_ahead: ClassVar[bool] = False  # the surprise is measured at A + mu S

    def step_size(self) -> sp.Expr:
        """The factor of the surprise, in eta, the slope s of an l2 bias, and kk = φ(k)φ(k)ᵀ."""
        return letter("eta")
