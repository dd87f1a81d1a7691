"""Device functions on whole tiles that a kernel may call; a file holds those that it needs."""

from __future__ import annotations

DEVICE_FUNCTIONS = {
    "exact_dot": '''
@triton.jit
def exact_dot(a, b, DOT: tl.constexpr):
    """a b of float32 coefficients: three passes of the tensor cores where the tokens are float32, one where they are narrower."""
    return tl.dot(a, b, input_precision="tf32x3" if tl.float32 == DOT else "tf32")
''',
    "dot_tn": '''
@triton.jit
def dot_tn(a, b, DOT: tl.constexpr):
    """aᵀ b."""
    return dot(tl.trans(a.to(DOT)), b, DOT)
''',
    "dot_nt": '''
@triton.jit
def dot_nt(a, b, DOT: tl.constexpr):
    """a bᵀ."""
    return dot(a, tl.trans(b.to(DOT)), DOT)
''',
    "dot_tt": '''
@triton.jit
def dot_tt(a, b, DOT: tl.constexpr):
    """aᵀ bᵀ."""
    return dot(tl.trans(a.to(DOT)), tl.trans(b.to(DOT)), DOT)
''',
    "sum_before": '''
@triton.jit
def sum_before(x, r):
    """The sum of the entries before each, which no large entry of its own can spoil."""
    return tl.sum(tl.where(r[None, :] < r[:, None], x[None, :], 0.0), 1)
''',
    "sum_after": '''
@triton.jit
def sum_after(x, r):
    """The sum of the entries behind each."""
    return tl.sum(tl.where(r[None, :] > r[:, None], x[None, :], 0.0), 1)
''',
    "sums_before": '''
@triton.jit
def sums_before(x, r, DOT: tl.constexpr):
    """Down the rows of a tile: the sum of the entries before each."""
    return exact_dot(tl.where(r[None, :] < r[:, None], 1.0, 0.0), x, DOT)
''',
    "sums_after": '''
@triton.jit
def sums_after(x, r, DOT: tl.constexpr):
    """Down the rows of a tile: the sum of the entries behind each."""
    return exact_dot(tl.where(r[None, :] > r[:, None], 1.0, 0.0), x, DOT)
''',
    "inverse": '''
@triton.jit
def inverse(L, r, LEVELS: tl.constexpr, DOT: tl.constexpr):
    """(I + L)⁻¹ of a strictly lower triangular L of 2^LEVELS rows, by doubling the blocks on the diagonal that are inverted.

    X ← X − X L[w] X, where L[w] joins neighbouring blocks of width w = 2^level; stable for keys that point the same way, as the product of
    I + (−L)^(2^i) is not.
    """
    row, column = r[:, None], r[None, :]
    X = tl.where(row == column, 1.0, 0.0) - tl.where((row == column + 1) & (row % 2 == 1), L, 0.0)
    for level in tl.static_range(1, LEVELS):
        joins = ((row >> level) == (column >> level) + 1) & ((row >> level) % 2 == 1)
        X -= exact_dot(exact_dot(X, tl.where(joins, L, 0.0), DOT), X, DOT)
    return X
''',
}  # fmt: skip
NEEDS = {"inverse": ("exact_dot",), "sums_before": ("exact_dot",), "sums_after": ("exact_dot",)}
