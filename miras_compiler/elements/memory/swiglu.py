"""A gated linear unit as memory: LaCT."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.memory.base import DeepMemory, Entrywise, Product, Weight
from miras_compiler.expressions.activations import silu
from miras_compiler.expressions.symbols import letter


class SwiGLUMemory(DeepMemory):
    """Three matrices: W1 and W3 to the hidden width, W2 back to the value."""

    kind: Literal["swiglu"] = "swiglu"

    formula = "f = (silu(x W₁) ⊙ x W₃) W₂"
    citation = "LaCT, arXiv 2505.23884, §3"

    def weights(self) -> tuple[Weight, ...]:
        return (Weight("W1", "k", "n"), Weight("W2", "n", "v"), Weight("W3", "k", "n"))

    def forward(self) -> tuple[Product | Entrywise, ...]:
        return (
            Product("z1", "x", "W1"),
            Product("z3", "x", "W3"),
            Entrywise("h", silu(letter("z1")) * letter("z3")),
            Product("f", "h", "W2"),
        )
