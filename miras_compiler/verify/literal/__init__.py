"""A spec's rule written a second time, literally: losses, regularizers, memories, in differentiable PyTorch, from docs/mathematics.md.

Nothing here imports the compiler's derivation. A spec enters as the plain dictionary of its fields (`spec.model_dump(by_alias=True)`),
kinds and numbers only; the surprise is autograd applied to the literal loss, gradients are autograd through the token loop.
"""

from __future__ import annotations

from miras_compiler.verify.literal.model import LiteralModel, LiteralTrace

__all__ = ["LiteralModel", "LiteralTrace"]
