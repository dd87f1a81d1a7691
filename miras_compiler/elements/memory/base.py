"""The memory M(W; x): its weight matrices and its forward map as a short list of steps."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import sympy as sp
from pydantic import Field

from miras_compiler.elements.base import Element, Positive, Settings
from miras_compiler.errors import InternalError


class Weight(NamedTuple):
    """A weight matrix; axes are letters: k key, n (n1, n2, … when there are several) hidden, v value. A vector has no columns."""

    name: str
    rows: str
    columns: str

    @property
    def axes(self) -> tuple[str, ...]:
        return (self.rows, self.columns) if self.columns else (self.rows,)


class Product(NamedTuple):
    """out = left @ weight, where left is an earlier out or "x", the input row."""

    out: str
    left: str
    weight: str


class Entrywise(NamedTuple):
    """out = expr, entrywise, in the symbols `letter(<earlier out>)`."""

    out: str
    expr: sp.Expr


class MemoryInit(Settings):
    """The draw of W_0 in a layer: a standard deviation, or 1/√rows; learned with the outer weights or fixed."""

    key = "memory.init"

    std: Annotated[Literal["fan_in"] | Positive, Field(description="The standard deviation of the first weights; fan_in is 1/√rows.")] = (
        "fan_in"
    )
    learned: Annotated[bool, Field(description="Whether the first weights are parameters of the layer, or stay as they were drawn.")] = True


class Memory(Element):
    """Forward map f, then `norm` over the value axis (ε 1e-6, scale and shift per head), then `residual` adds the raw key or query."""

    key = "memory"

    norm: Annotated[
        Literal["none", "layer", "rms"],
        Field(description="The norm of the output f over its V channels, with a scale (layer: and a shift) per head."),
    ] = "none"
    residual: Annotated[
        bool, Field(description="Adds the raw key or query to the output: M(W; x) = x + f, for values as wide as keys.")
    ] = False
    init: Annotated[MemoryInit, Field(description="How a layer draws the memory's first weights.")] = MemoryInit()

    deep: ClassVar[bool]

    def weights(self) -> tuple[Weight, ...]:
        """The weight matrices, in the order in which the paper numbers them."""
        raise InternalError(f"the memory '{self.kind}' has no mathematics yet")

    def forward(self) -> tuple[Product | Entrywise, ...]:
        """The steps from "x" to "f", before norm and residual."""
        raise InternalError(f"the memory '{self.kind}' has no mathematics yet")


class DeepMemory(Memory):
    """A memory of several weight matrices; its hidden width is N = expansion · K."""

    expansion: Annotated[
        int, Field(ge=1, le=64, description="The hidden width N as a multiple of the width of a key: N = expansion · K.")
    ] = 4

    deep: ClassVar[bool] = True
