"""Equal bits of rows, where torch's own matrix products have them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from kit.layer_package import distance

ROUNDING = 1e-12


@cache
def rows_keep_their_bits() -> bool:
    """True if torch's own linear map in float64 gives a row the same bits alone as beside others.

    On an AMD EPYC it does not, and so nothing that is built on it can.
    """
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(rows, 16, generator=generator, dtype=torch.float64) for rows in (24, 11))
    whole = functional.linear(x, weight)
    return all(torch.equal(functional.linear(x[:rows], weight), whole[:rows]) for rows in range(1, 11))


def same_rows(found: Tensor, expected: Tensor) -> bool:
    """Equal by the bit where torch's products of rows are; elsewhere but for their rounding."""
    if rows_keep_their_bits():
        return torch.equal(found, expected)
    return found.shape == expected.shape and bool(distance(found, expected) < ROUNDING)
