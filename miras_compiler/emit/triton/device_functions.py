"""Device functions on whole tiles that a kernel may call; a file holds those that it needs."""

from __future__ import annotations

DEVICE_FUNCTIONS = {
    "exact_dot": '''
@triton.jit
def exact_dot(a, b, DOT: tl.constexpr):
    """a b to more digits than narrow tokens have: in one pass of the tensor cores, and in three where the tokens are float32."""
    return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="tf32x3" if tl.float32 == DOT else "tf32")
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
    "dot_apart": '''
@triton.jit
def dot_apart(a, b, DOT: tl.constexpr, T):
    """a b in a loop of one turn, which hides from the compiler that the result goes into another product.

    Of a product that does, it gives every warp whole rows; of 64 rows, then, two of eight warps the same.
    """
    product = tl.zeros([a.shape[0], b.shape[1]], tl.float32)
    for _ in tl.range(tl.minimum(T, 1), num_stages=1):
        product = tl.dot(a.to(DOT), b.to(DOT), product, input_precision="tf32x3")
    return product
''',
    "dot_apart_nt": '''
@triton.jit
def dot_apart_nt(a, b, DOT: tl.constexpr, T):
    """a bᵀ, likewise."""
    return dot_apart(a, tl.trans(b.to(DOT)), DOT, T)
''',
    "sum_before": '''
@triton.jit
def sum_before(x, r, DOT: tl.constexpr):
    """The sum of the entries before each, which no large entry of its own can spoil where the tokens are float32."""
    if tl.float32 == DOT:
        return tl.sum(tl.where(r[None, :] < r[:, None], x[None, :], 0.0), 1)
    return tl.cumsum(x, 0) - x
''',
    "sum_after": '''
@triton.jit
def sum_after(x, r, DOT: tl.constexpr):
    """The sum of the entries behind each, likewise."""
    if tl.float32 == DOT:
        return tl.sum(tl.where(r[None, :] > r[:, None], x[None, :], 0.0), 1)
    return tl.cumsum(x, 0, reverse=True) - x
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
    "segment_sums": '''
@triton.jit
def segment_sums(x, strict):
    """Σ_{column<l≤row} x_l below the diagonal, 0 elsewhere.

    Differences of cumulated sums, of the multiples of 1/64 and of the rests apart: the former are exact up to 2^18, the latter are small,
    so that a large entry costs the others no digit.
    """
    whole = tl.floor(x * 64.0) * 0.015625
    whole, rest = tl.cumsum(whole, 0), tl.cumsum(x - whole, 0)
    return tl.where(strict, (whole[:, None] - whole[None, :]) + (rest[:, None] - rest[None, :]), 0.0)
''',
    "segment_gradient": '''
@triton.jit
def segment_gradient(M, strict, DOT: tl.constexpr):
    """Σ_{column<l≤row} M for every l: exactly where the tokens are float32, else by rows less columns."""
    if tl.float32 == DOT:
        return tl.sum(tl.where(strict, tl.cumsum(M, 0, reverse=True), 0.0), 1)
    M = tl.where(strict, M, 0.0)
    return tl.cumsum(tl.sum(M, 1) - tl.sum(M, 0), 0, reverse=True)
''',
    "inverse": '''
@triton.jit
def inverse(L, r, LEVELS: tl.constexpr, DOT: tl.constexpr):
    """(I + L)⁻¹ of a strictly lower triangular L of 2^LEVELS rows, by doubling the blocks on the diagonal that are inverted.

    X ← X − X L[w] X, where L[w] joins neighbouring blocks of width w = 2^level; stable for keys that point the same way, as the product of
    I + (−L)^(2^i) is not. Where the tokens are narrower than float32, the products are of bfloat16, and one step X ← X + X (I − (I + L) X),
    its bracket to twice as many digits, leaves an error below that of tf32.
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
    return tl.dot(Y, error.to(tl.bfloat16), Y.to(tl.float32))
''',
}  # fmt: skip
NEEDS = {"inverse": ("exact_dot",), "sums_before": ("exact_dot",), "sums_after": ("exact_dot",), "dot_apart_nt": ("dot_apart",)}
