"""Plain gradient descent, with DeltaProduct's several writes per token and the three keys of RWKV-7."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from miras_compiler.elements.optimizer.base import Optimizer


class GradientDescent(Optimizer):
    """`steps: n` writes n rows per token after one decay; `erase_key` erases along a key of its own."""

    kind: Literal["gradient_descent"] = "gradient_descent"
    steps: Annotated[int, Field(ge=1, le=64, description="The number of rows that a token writes, one after another, after one decay.")] = 1
    erase_key: Annotated[bool, Field(description="Erases along a key of its own: the operator takes erase_key and erase_write_key.")] = (
        False
    )

    formula = "Sₜ = −ηₜ gₜ,  Aₜ = αₜ Aₜ₋₁ + Sₜ"
    citation = "MIRAS, arXiv 2504.13173, eq. 5; steps: DeltaProduct; erase_key: RWKV-7, arXiv 2503.14456"
