"""Fixed random projections from bytes to keys and values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from miras_compiler.demo.passages import CONTEXT


class Projection:
    """Keys from the last four bytes, values from the byte that follows, both of width `dim`.

    A key is the product of four random vectors of signs, one per byte and place: contexts that differ in a single byte get nearly
    orthogonal keys, so that whatever is known of a passage was stored by reading it. A byte's code is a random unit vector without a mean.
    The value is key + code: the memory answers k + LN(f), so its LayerNorm has to name the next byte.
    """

    def __init__(self, dim: int, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        self.signs = torch.randint(0, 2, (CONTEXT, 256, dim), generator=random).float() * 2 - 1
        self.codes = _unit(torch.randn(256, dim, generator=random))

    def __call__(self, passage: bytes) -> tuple[Tensor, Tensor]:
        """Keys and values `[T, dim]` of a passage of CONTEXT + T bytes."""
        numbers = torch.tensor(list(passage))
        windows = numbers.unfold(0, CONTEXT, 1)[:-1]  # [T, CONTEXT]
        key = _unit(torch.stack([self.signs[place, windows[:, place]] for place in range(CONTEXT)]).prod(0))
        return key, key + self.codes[numbers[CONTEXT:]]


def _unit(rows: Tensor) -> Tensor:
    return normalize(rows - rows.mean(-1, keepdim=True), dim=-1)
