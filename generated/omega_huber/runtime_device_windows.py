# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions that add to rows of token tensors: the gradients of the rows of a window, which several tokens measure."""

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
