"""A vector memory, one weight per channel."""

from __future__ import annotations

from typing import Literal

from miras_compiler.elements.memory.base import Memory


class VectorMemory(Memory):
    """w has as many entries as a key and a value (K = V)."""

    kind: Literal["vector"] = "vector"

    formula = "M(w; x) = w ⊙ x"
    citation = "MIRAS, arXiv 2504.13173, §3"
    later = "one system of equations per channel is not built yet"
    deep = False
