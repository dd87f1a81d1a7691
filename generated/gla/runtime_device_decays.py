# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions for products of the rows of a tile under decays per channel.

F = Σ scores[t, j] rows[t, k] columns[j, k] exp(Σ_{j<l≤t} logs[l, k]) over pairs of tokens j ≤ t, or j < t where STRICT; where EXCLUSIVE,
the log of t itself stays out. The functions give the derivatives of F.

A tile of 2^LEVELS tokens is halved again and again. A pair of tokens that one halving parts has its decay in two factors, from j to the
middle of the block and from there to t: so all pairs of a level are a product of matrices, no exponent is above 0, and no tile has three
axes. `r` counts the rows, DOT is the type of the operands of products.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .runtime_device_functions import exp2
from .runtime_device_products import dot, dot_nt, exact_dot, nearest


@triton.jit
def decayed_scores(rows, columns, logs, r, LEVELS: tl.constexpr, STRICT: tl.constexpr, EXCLUSIVE: tl.constexpr, DOT: tl.constexpr):
    """[t, j]: ∂F/∂scores."""
    scores = tl.zeros([r.shape[0], r.shape[0]], tl.float32)
    if not STRICT:
        diagonal = tl.sum(rows.to(tl.float32) * columns.to(tl.float32), 1)
        scores = tl.where(r[:, None] == r[None, :], diagonal[:, None], 0.0)
    for level in tl.range(LEVELS, num_stages=1, disable_licm=True):
        near = decay_to_middle(logs, r, level, EXCLUSIVE, DOT)
        x = (tl.where(is_later(r, level)[:, None], rows, columns).to(tl.float32) * near).to(DOT)
        scores = tl.where(is_parted(r, level), dot_nt(x, x, DOT), scores)
    return scores


@triton.jit
def decayed_rows(scores, columns, logs, r, LEVELS: tl.constexpr, STRICT: tl.constexpr, EXCLUSIVE: tl.constexpr, DOT: tl.constexpr):
    """[t, k]: ∂F/∂rows."""
    rows = tl.zeros(logs.shape, tl.float32)
    if not STRICT:
        rows = diagonal(scores, r)[:, None] * columns.to(tl.float32)
    scores = scores.to(DOT)
    for level in tl.range(LEVELS, num_stages=1, disable_licm=True):
        near = decay_to_middle(logs, r, level, EXCLUSIVE, DOT)
        x = (columns.to(tl.float32) * near).to(DOT)
        rows += near * dot(tl.where(is_parted(r, level), scores, 0.0), x, DOT)
    return rows


@triton.jit
def decayed_columns(scores, rows, logs, r, LEVELS: tl.constexpr, STRICT: tl.constexpr, EXCLUSIVE: tl.constexpr, DOT: tl.constexpr):
    """[j, k]: ∂F/∂columns."""
    columns = tl.zeros(logs.shape, tl.float32)
    if not STRICT:
        columns = diagonal(scores, r)[:, None] * rows.to(tl.float32)
    turned = tl.trans(scores.to(DOT))
    for level in tl.range(LEVELS, num_stages=1, disable_licm=True):
        near = decay_to_middle(logs, r, level, EXCLUSIVE, DOT)
        x = (rows.to(tl.float32) * near).to(DOT)
        columns += near * dot(tl.where(is_beside(r, level) & ~is_later(r, level)[:, None], turned, 0.0), x, DOT)
    return columns


@triton.jit
def decayed_logs(scores, rows, columns, logs, r, LEVELS: tl.constexpr, STRICT: tl.constexpr, EXCLUSIVE: tl.constexpr, DOT: tl.constexpr):
    """[l, k]: ∂F/∂logs."""
    _rows, _columns, d_logs = decayed_derivatives(scores, rows, columns, logs, r, LEVELS, STRICT, EXCLUSIVE, DOT)
    return d_logs


@triton.jit
def decayed_derivatives(
    scores, rows, columns, logs, r,
    LEVELS: tl.constexpr, STRICT: tl.constexpr, EXCLUSIVE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """∂F/∂rows, ∂F/∂columns, ∂F/∂logs.

    The last is a sum over the pairs on both sides of a token, level by level; a difference of sums over rows and over columns would
    lose its digits. Where later tokens alone are weighed, rows and columns of float32 are those of a solve: they keep 11 bits as operands,
    whatever DOT is.
    """
    EXACT: tl.constexpr = STRICT & (rows.dtype == tl.float32) & (columns.dtype == tl.float32)
    d_rows = tl.zeros(logs.shape, tl.float32)
    d_columns = tl.zeros(logs.shape, tl.float32)
    d_logs = tl.zeros(logs.shape, tl.float32)
    if not STRICT:
        own = diagonal(scores, r)[:, None]
        d_rows, d_columns = own * columns.to(tl.float32), own * rows.to(tl.float32)
    pairs = tl.where(r[:, None] > r[None, :], scores, tl.trans(scores))  # [t, j] and [j, t]
    pairs = pairs if EXACT else pairs.to(DOT)
    for level in tl.range(LEVELS, num_stages=1, disable_licm=True):
        later = is_later(r, level)[:, None]
        share = tl.where(later, 1.0, 0.0)
        near = decay_to_middle(logs, r, level, EXCLUSIVE, DOT)
        x = tl.where(later, rows, columns).to(tl.float32) * near
        if EXACT:
            d_x = exact_dot(tl.where(is_beside(r, level), pairs, 0.0), x, DOT)
        else:
            x = x.to(DOT)
            d_x = dot(tl.where(is_beside(r, level), pairs, 0.0), x, DOT)
        d_logs += exact_dot(to_middle(r, level, EXCLUSIVE), d_x * x.to(tl.float32), DOT)
        d_rows += d_x * near * share
        d_columns += d_x * near * (1.0 - share)
    return d_rows, d_columns, d_logs


@triton.jit
def diagonal(scores, r):
    return tl.sum(tl.where(r[:, None] == r[None, :], scores, 0.0), 1)


@triton.jit
def is_later(r, level):
    """[t]: True in the second half of a block of 2^(level + 1) tokens."""
    return (r >> level) & 1 == 1


@triton.jit
def is_beside(r, level):
    """[t, j]: True for tokens in the two halves of one block."""
    return (r >> level)[:, None] == ((r >> level) ^ 1)[None, :]


@triton.jit
def is_parted(r, level):
    """[t, j]: True for t in the second half of a block and j in its first."""
    half = r >> level
    return half[:, None] == tl.where(half & 1 == 0, half + 1, -1)[None, :]


@triton.jit
def to_middle(r, level, EXCLUSIVE: tl.constexpr):
    """[l, t]: 1 where the token l lies between t and the middle of its block of 2^(level + 1) tokens, 0 elsewhere."""
    middle, later = ((r >> level) | 1) << level, is_later(r, level)
    behind = r if EXCLUSIVE else r + 1
    begin, count = tl.where(later, middle, r + 1), tl.where(later, behind - middle, middle - r - 1)
    return tl.where((r[:, None] - begin[None, :]).to(tl.uint32) < count.to(tl.uint32)[None, :], 1.0, 0.0)


@triton.jit
def decay_to_middle(logs, r, level, EXCLUSIVE: tl.constexpr, DOT: tl.constexpr):
    """[t, k]: the decay between t and the middle of its block; where operands have 16 bits, of a sum of logs to 16 bits, else to 22."""
    counted, logs = to_middle(r, level, EXCLUSIVE), logs * 1.4426950408889634
    if tl.float32 == DOT:
        turned, high = tl.trans(counted), nearest(logs)
        return exp2(tl.dot(turned, logs - high, tl.dot(turned, high, input_precision="tf32"), input_precision="tf32"))
    high = logs.to(tl.bfloat16)
    low = (logs - high.to(tl.float32)).to(tl.bfloat16)
    turned = tl.trans(counted.to(tl.bfloat16))
    return exp2(tl.dot(turned, low, tl.dot(turned, high)))
