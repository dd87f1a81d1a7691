"""A vector memory, one weight per channel."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.memory.base import Entrywise, Memory, Product, Weight


class VectorMemory(Memory):
    """w has as many entries as a key and a value (K = V)."""

    kind: Literal["vector"] = "vector"

    formula = "M(w; x) = w ⊙ x"
    citation = "MIRAS, arXiv 2504.13173, §4"
    deep = False

    def weights(self) -> tuple[Weight, ...]:
        return (Weight("W", "v", ""),)

    def forward(self) -> tuple[Product | Entrywise, ...]:
        return (Product("f", "x", "W"),)
