"""The memories, as one union on `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from miras_compiler.elements.memory.base import Entrywise, Memory, MemoryInit, Product, Weight
from miras_compiler.elements.memory.matrix import MatrixMemory
from miras_compiler.elements.memory.mlp import MLPMemory
from miras_compiler.elements.memory.swiglu import SwiGLUMemory
from miras_compiler.elements.memory.vector import VectorMemory

AnyMemory = Annotated[VectorMemory | MatrixMemory | MLPMemory | SwiGLUMemory, Field(discriminator="kind")]

__all__ = [
    "AnyMemory", "Entrywise", "MLPMemory", "MatrixMemory", "Memory", "MemoryInit", "Product", "SwiGLUMemory", "VectorMemory", "Weight",
]  # fmt: skip
