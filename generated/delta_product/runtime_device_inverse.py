# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""The device function that inverts a unit lower triangular matrix, with which a tile of the delta rule is solved."""

from __future__ import annotations

import triton
import triton.language as tl

from .runtime_device_products import exact_dot, nearest


@triton.jit
def inverse(L, r, LEVELS: tl.constexpr, DOT: tl.constexpr):
    """(I + L)⁻¹ of a strictly lower triangular L of 2^LEVELS rows; `r` counts the rows.

    Inverted blocks on the diagonal are doubled: X ← X − X L[w] X, where L[w] joins neighbouring blocks of width w = 2^level. This is
    stable for keys that point the same way; the product of I + (−L)^(2^i) is not. Where DOT is narrower than float32, the products are of
    bfloat16. Their relative error reaches 0.1 where keys at cosine .9 meet surprises that momentum adds up, or steps that mirror memories;
    one step X ← X (I + E + E²) with E = I − (I + L) X, computed to twice as many digits, leaves an error near that of tf32, to which the
    result is rounded.
    """
    row, column = r[:, None], r[None, :]
    one, apart = tl.where(row == column, 1.0, 0.0), row ^ column
    X = one - tl.where(apart == 1, L, 0.0)
    if tl.float32 == DOT:
        for level in tl.static_range(1, LEVELS):
            X -= exact_dot(exact_dot(X, tl.where(apart >> level == 1, L, 0.0), DOT), X, DOT)
        return X
    L = -L
    high = L.to(tl.bfloat16)
    low = (L - high.to(tl.float32)).to(tl.bfloat16)
    for level in tl.static_range(1, LEVELS):
        Y = X.to(tl.bfloat16)
        X = tl.dot(tl.dot(Y, tl.where(apart >> level == 1, high, 0.0)).to(tl.bfloat16), Y, X)
    Y = X.to(tl.bfloat16)
    error = tl.dot(high, Y, tl.dot(low, Y, one - Y.to(tl.float32)))
    E = error.to(tl.bfloat16)
    return nearest(tl.dot(Y, tl.dot(E, E, error).to(tl.bfloat16), Y.to(tl.float32)))
