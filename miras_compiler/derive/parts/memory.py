"""The memory of a rule, and the features that it multiplies."""

from __future__ import annotations

from typing import Literal, NamedTuple

import sympy as sp

from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.elements.memory import Entrywise as Entrywise
from miras_compiler.elements.memory import Product as Product
from miras_compiler.elements.memory import Weight as Weight
from miras_compiler.spec import Spec


class MemoryMap(NamedTuple):
    """M(W; x): the weights, the steps from "x" to "f", the norm of f over the value axis, and whether the raw row is added.

    A layer draws the first weights of a deep memory with the standard deviation `std` (fan_in: 1/√rows), and may learn them.
    """

    weights: tuple[Weight, ...]
    steps: tuple[Product | Entrywise, ...]
    norm: Literal["none", "layer", "rms"]
    residual: bool
    deep: bool
    std: float | Literal["fan_in"]
    learned: bool

    @property
    def products(self) -> list[Product]:
        """The steps that multiply by a weight."""
        return [step for step in self.steps if isinstance(step, Product)]

    @property
    def entrywise(self) -> bool:
        """True if the memory is one row of weights, which multiplies rows entry by entry."""
        return not self.weights[0].columns

    @property
    def one_width(self) -> bool:
        """True if values must be as wide as keys."""
        return self.residual or self.entrywise


class Features(NamedTuple):
    """φ as an expression in x; a polynomial has a degree instead, and is computed before any program, because it is wider than keys."""

    expression: sp.Expr | None
    degree: int = 0

    @property
    def outer(self) -> bool:
        """True if programs take features beside keys and queries."""
        return self.expression is None


def memory_of(spec: Spec) -> MemoryMap:
    """The memory of a spec."""
    memory = spec.memory
    own = memory.weights(), memory.forward(), memory.norm, memory.residual, memory.deep
    return MemoryMap(*own, memory.init.std, memory.init.learned)


def features_of(spec: Spec) -> Features:
    """The feature map of a spec."""
    if isinstance(spec.feature_map, PolynomialMap):
        return Features(None, spec.feature_map.degree)
    return Features(spec.feature_map.expression())
