"""A multi-layer perceptron as memory: Titans, MONETA, YAAD, MEMORA, TTT-MLP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.memory.base import DeepMemory, Entrywise, Product, Weight
from miras_compiler.expressions.activations import ACTIVATIONS
from miras_compiler.expressions.symbols import letter


class MLPMemory(DeepMemory):
    """`layers` weight matrices with an activation between them and none after the last."""

    kind: Literal["mlp"] = "mlp"
    layers: Annotated[int, Field(ge=1, le=16, description="The number of weight matrices L.")] = 2
    activation: Annotated[
        Literal["gelu", "gelu_tanh", "silu", "relu", "tanh", "identity"],
        Field(description="The function σ between two weight matrices; gelu is the exact one, gelu_tanh its usual approximation."),
    ] = "gelu"

    formula = "h₀ = x;  hᵢ = σ(hᵢ₋₁ Wᵢ);  f = h_{L−1} W_L"
    citation = "Titans, arXiv 2501.00663, §3.1; MIRAS, arXiv 2504.13173, §5.3"

    def weights(self) -> tuple[Weight, ...]:
        hidden = ["n"] if self.layers == 2 else [f"n{i}" for i in range(1, self.layers)]
        axes = ["k", *hidden, "v"]
        return tuple(Weight(f"W{i + 1}", axes[i], axes[i + 1]) for i in range(self.layers))

    def forward(self) -> tuple[Product | Entrywise, ...]:
        steps: list[Product | Entrywise] = []
        sigma = ACTIVATIONS[self.activation]
        left = "x"
        for i in range(1, self.layers):
            z = letter(f"z{i}")
            steps.append(Product(f"z{i}", left, f"W{i}"))
            steps.append(Entrywise(f"h{i}", sigma(z) if sigma else z))
            left = f"h{i}"
        return (*steps, Product("f", left, f"W{self.layers}"))
