# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions for windows: gradients of rows that several tokens measure, and the weights of rows in the surprises of a tile's tokens.

Weights are [tokens · heads, BEFORE + 1]: that of the token itself, of the one before it, and so on. The rows before a tile are those of
the BEFORE tokens in front of its first one here, which is its row number `begin` (0 where that is negative).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add_rows(x_ptr, at_row, row, here, at, WIDTH: tl.constexpr, x):
    """Adds [rows, columns] to a token tensor, after a barrier: other warps may have added to the same rows for another token."""
    tl.debug_barrier()
    mask = here[:, None] & (at < WIDTH)[None, :]
    place = x_ptr + at_row * WIDTH + (row[:, None] * WIDTH + at[None, :])
    tl.store(place, tl.load(place, mask=mask, other=0.0) + x, mask=mask)


@triton.jit
def add_numbers(x_ptr, at_row, row, here, x):
    """Adds [rows] to a token tensor with one number per token and head, after a barrier."""
    tl.debug_barrier()
    place = x_ptr + at_row + row
    tl.store(place, tl.load(place, mask=here, other=0.0) + x, mask=here)


@triton.jit
def load_band(x_ptr, at_row, row, here, r, BEFORE: tl.constexpr):
    """[rows, rows]: the weights of the tile's own tokens."""
    back = r[:, None] - r[None, :]
    mask = here[:, None] & here[None, :] & (back >= 0) & (back <= BEFORE)
    return tl.load(x_ptr + at_row * (BEFORE + 1) + (row[:, None] * (BEFORE + 1) + back), mask=mask, other=0.0)


@triton.jit
def store_band(x_ptr, at_row, row, here, r, BEFORE: tl.constexpr, x):
    """Stores the weights of the tile's own tokens."""
    back = r[:, None] - r[None, :]
    mask = here[:, None] & here[None, :] & (back >= 0) & (back <= BEFORE)
    tl.store(x_ptr + at_row * (BEFORE + 1) + (row[:, None] * (BEFORE + 1) + back), x.to(x_ptr.dtype.element_ty), mask=mask)


@triton.jit
def load_past(x_ptr, at_row, row, here, r, begin, at, BEFORE: tl.constexpr):
    """[rows, columns]: the weights of the tokens before the tile, the oldest first."""
    back = (r - tl.maximum(begin, 0).to(tl.int32))[:, None] + (BEFORE - at)[None, :]
    mask = here[:, None] & (at < BEFORE)[None, :] & (back <= BEFORE)
    return tl.load(x_ptr + at_row * (BEFORE + 1) + (row[:, None] * (BEFORE + 1) + back), mask=mask, other=0.0)


@triton.jit
def store_past(x_ptr, at_row, row, here, r, begin, at, BEFORE: tl.constexpr, x):
    """Stores the weights of the tokens before the tile."""
    back = (r - tl.maximum(begin, 0).to(tl.int32))[:, None] + (BEFORE - at)[None, :]
    mask = here[:, None] & (at < BEFORE)[None, :] & (back <= BEFORE)
    tl.store(x_ptr + at_row * (BEFORE + 1) + (row[:, None] * (BEFORE + 1) + back), x.to(x_ptr.dtype.element_ty), mask=mask)
