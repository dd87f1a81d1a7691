"""A matrix memory: linear attention and the delta rule."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.memory.base import Entrywise, Memory, Product, Weight


class MatrixMemory(Memory):
    """One matrix W [K, V]; keys are rows and multiply on the left."""

    kind: Literal["matrix"] = "matrix"

    formula = "M(W; x) = x W"
    citation = "MIRAS, arXiv 2504.13173, §4"
    deep = False

    def weights(self) -> tuple[Weight, ...]:
        return (Weight("W", "k", "v"),)

    def forward(self) -> tuple[Product | Entrywise, ...]:
        return (Product("f", "x", "W"),)
