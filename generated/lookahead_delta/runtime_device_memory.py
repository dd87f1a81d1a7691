# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions that load and store: rows of tokens, and the tiles, rows and numbers of buffers.

Widths are padded to powers of two: `at`, `rows` and `columns` count up to the padded length, and entries behind the true length are loaded
as 0 and not stored. Token tensors are [tokens · heads, WIDTH]: a tile's row 0 is row `at_row` of the tensor, its row r is `row[r]` further.
Buffers hold one tile, row or number at every `index`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_rows(x_ptr, at_row, row, here, at, WIDTH: tl.constexpr):
    """[rows, columns] of a token tensor, in its own type; 0 where `here` says that there is no token."""
    mask = here[:, None] & (at < WIDTH)[None, :]
    return tl.load(x_ptr + at_row * WIDTH + (row[:, None] * WIDTH + at[None, :]), mask=mask, other=0.0)


@triton.jit
def store_rows(x_ptr, at_row, row, here, at, WIDTH: tl.constexpr, x):
    """Stores [rows, columns] into a token tensor."""
    mask = here[:, None] & (at < WIDTH)[None, :]
    tl.store(x_ptr + at_row * WIDTH + (row[:, None] * WIDTH + at[None, :]), x.to(x_ptr.dtype.element_ty), mask=mask)


@triton.jit
def load_numbers(x_ptr, at_row, row, here):
    """[rows] of a token tensor with one number per token and head, as float32."""
    return tl.load(x_ptr + at_row + row, mask=here, other=0.0).to(tl.float32)


@triton.jit
def store_numbers(x_ptr, at_row, row, here, x):
    """Stores [rows] into a token tensor with one number per token and head."""
    tl.store(x_ptr + at_row + row, x.to(x_ptr.dtype.element_ty), mask=here)


@triton.jit
def load_tile(x_ptr, index, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """[rows, columns] of the tile number `index` of a buffer, in its own type."""
    mask = (rows < ROWS)[:, None] & (columns < COLUMNS)[None, :]
    return tl.load(x_ptr + index * (ROWS * COLUMNS) + (rows[:, None] * COLUMNS + columns[None, :]), mask=mask, other=0.0)


@triton.jit
def store_tile(x_ptr, index, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr, x):
    """Stores the tile number `index` of a buffer."""
    mask = (rows < ROWS)[:, None] & (columns < COLUMNS)[None, :]
    place = x_ptr + index * (ROWS * COLUMNS) + (rows[:, None] * COLUMNS + columns[None, :])
    tl.store(place, x.to(x_ptr.dtype.element_ty), mask=mask)


@triton.jit
def load_row(x_ptr, index, at, WIDTH: tl.constexpr):
    """The row number `index` of a buffer, as float32."""
    return tl.load(x_ptr + index * WIDTH + at, mask=at < WIDTH, other=0.0).to(tl.float32)


@triton.jit
def store_row(x_ptr, index, at, WIDTH: tl.constexpr, x):
    """Stores the row number `index` of a buffer."""
    tl.store(x_ptr + index * WIDTH + at, x.to(x_ptr.dtype.element_ty), mask=at < WIDTH)


@triton.jit
def load_number(x_ptr, index):
    """The number at `index` of a buffer, as float32."""
    return tl.load(x_ptr + index).to(tl.float32)


@triton.jit
def store_number(x_ptr, index, x):
    """Stores the number at `index` of a buffer."""
    tl.store(x_ptr + index, x.to(x_ptr.dtype.element_ty))
