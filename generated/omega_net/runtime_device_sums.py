# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions for sums over the tokens of a tile, such as the logarithm of the decay between two tokens.

`r` counts the rows of a tile, `strict` is the test row > column. Where tokens are float32 (DOT), sums avoid differences of large numbers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .runtime_device_products import exact_dot


@triton.jit
def sum_before(x, r, DOT: tl.constexpr):
    """[rows]: the sum of the entries before each; where tokens are float32, a large entry does not spoil its own sum."""
    if tl.float32 == DOT:
        return tl.sum(tl.where(r[None, :] < r[:, None], x[None, :], 0.0), 1)
    return tl.cumsum(x, 0) - x


@triton.jit
def sum_after(x, r, DOT: tl.constexpr):
    """[rows]: the sum of the entries behind each; where tokens are float32, a large entry does not spoil its own sum."""
    if tl.float32 == DOT:
        return tl.sum(tl.where(r[None, :] > r[:, None], x[None, :], 0.0), 1)
    return tl.cumsum(x, 0, reverse=True) - x


@triton.jit
def sums_before(x, r, DOT: tl.constexpr):
    """[rows, columns]: in every column, the sum of the entries before each."""
    return exact_dot(tl.where(r[None, :] < r[:, None], 1.0, 0.0), x, DOT)


@triton.jit
def sums_after(x, r, DOT: tl.constexpr):
    """[rows, columns]: in every column, the sum of the entries behind each."""
    return exact_dot(tl.where(r[None, :] > r[:, None], 1.0, 0.0), x, DOT)


@triton.jit
def segment_sums(x, strict):
    """[rows, columns]: Σ_{column<l≤row} x_l below the diagonal, 0 elsewhere.

    They are differences of cumulated sums. Multiples of 1/64 and the rests are summed apart: the former are exact up to 2^18, the latter
    are small, so a large entry costs the others no digit.
    """
    whole = tl.floor(x * 64.0) * 0.015625
    whole, rest = tl.cumsum(whole, 0), tl.cumsum(x - whole, 0)
    return tl.where(strict, (whole[:, None] - whole[None, :]) + (rest[:, None] - rest[None, :]), 0.0)


@triton.jit
def segment_sums_before(x, strict):
    """[rows, columns]: Σ_{column<l<row} x_l below the diagonal, 0 elsewhere, by the same two sums."""
    whole = tl.floor(x * 64.0) * 0.015625
    rest = x - whole
    wholes, rests = tl.cumsum(whole, 0), tl.cumsum(rest, 0)
    return tl.where(strict, ((wholes - whole)[:, None] - wholes[None, :]) + ((rests - rest)[:, None] - rests[None, :]), 0.0)


@triton.jit
def segment_gradient(M, strict, DOT: tl.constexpr):
    """[rows]: Σ_{column<l≤row} M for every l, the adjoint of `segment_sums`; exact where tokens are float32, else by rows less columns."""
    if tl.float32 == DOT:
        return tl.sum(tl.where(strict, tl.cumsum(M, 0, reverse=True), 0.0), 1)
    M = tl.where(strict, M, 0.0)
    return tl.cumsum(tl.sum(M, 1) - tl.sum(M, 0), 0, reverse=True)


@triton.jit
def segment_gradient_before(M, strict, DOT: tl.constexpr):
    """[rows]: Σ_{column<l<row} M for every l, the adjoint of `segment_sums_before`, in the same two ways."""
    M = tl.where(strict, M, 0.0)
    if tl.float32 == DOT:
        return tl.sum(tl.where(strict, tl.cumsum(M, 0, reverse=True) - M, 0.0), 1)
    of_rows = tl.sum(M, 1)
    return tl.cumsum(of_rows - tl.sum(M, 0), 0, reverse=True) - of_rows
