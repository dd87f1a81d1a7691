# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator, assignment, var-annotated"
"""Device functions for rows that follow one from another: the substitution of a tile, in memory that the program alone writes."""

from __future__ import annotations

import triton
import triton.language as tl

from .runtime_device_products import exact_dot


@triton.jit
def take_number(x_ptr, t, step, here):
    """The number of row t, as float32; rows are `step` numbers apart, and 0 where none is `here`."""
    return tl.load(x_ptr + t * step, mask=here, other=0.0).to(tl.float32)


@triton.jit
def take_row(x_ptr, t, step, here, at, WIDTH: tl.constexpr):
    """[columns]: row t, as float32; rows are `step` rows of this width apart, and 0 where none is `here`."""
    return tl.load(x_ptr + t * step * WIDTH + at, mask=(at < WIDTH) & here, other=0.0).to(tl.float32)


@triton.jit
def substitute(
    L_ptr, Z_ptr, X_ptr, given, r, at, H: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr,
    DOT: tl.constexpr, TAKE: tl.constexpr, PHI: tl.constexpr, ROWS: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """Z_t = R_t − Σ_{s<t} L_ts X_s with X_t = PHI(Z_t, TAKE(t, given, …), …), row after row, in place of R; X next to it.

    L is strictly lower triangular [C, C], Z and X are [C, WIDTH] in float32, of which the program does the BLOCK columns `at`. `BACK`
    begins with the last row and takes L_st in place of L_ts. H is the number of heads. Blocks of ROWS rows are joined by products.
    """
    columns = at < WIDTH
    blocks: tl.constexpr = (C + ROWS - 1) // ROWS
    whole: tl.constexpr = C % ROWS == 0
    for number in tl.range(blocks, num_stages=1, disable_licm=True):
        first = (blocks - 1 - number if BACK else number) * ROWS
        tl.debug_barrier()
        if number > 0:
            rows = first + tl.arange(0, ROWS)
            done = (r >= first + ROWS) & (r < C) if BACK else r < first
            places = r[None, :] * C + rows[:, None] if BACK else rows[:, None] * C + r[None, :]
            L = tl.load(L_ptr + places, mask=done[None, :] & (rows < C)[:, None], other=0.0)
            X = tl.load(X_ptr + r[:, None] * WIDTH + at[None, :], mask=done[:, None] & columns[None, :], other=0.0)
            Z_place = Z_ptr + rows[:, None] * WIDTH + at[None, :]
            here = (rows < C)[:, None] & columns[None, :]
            tl.store(Z_place, tl.load(Z_place, mask=here, other=0.0) - exact_dot(L, X, DOT), mask=here)
            tl.debug_barrier()
        right, taken, weights = (), (), ()  # all that the rows need, before the first of them waits for any
        for i in tl.static_range(ROWS):
            t = first + (ROWS - 1 - i if BACK else i)
            right += (tl.load(Z_ptr + t * WIDTH + at, mask=columns if whole else columns & (t < C), other=0.0),)
            taken += (TAKE(t, given, H, WIDTH),)
            for j in tl.static_range(i):
                s = first + (ROWS - 1 - j if BACK else j)
                place = L_ptr + (s * C + t if BACK else t * C + s)
                weights += (tl.load(place) if whole else tl.load(place, mask=(s < C) & (t < C), other=0.0),)
        tl.debug_barrier()  # no thread overwrites a row that another has yet to load
        found = ()
        for i in tl.static_range(ROWS):
            t = first + (ROWS - 1 - i if BACK else i)
            z = right[i]
            for j in tl.static_range(i):
                z -= weights[i * (i - 1) // 2 + j] * found[j]
            x = PHI(z, taken[i], given, WIDTH, BLOCK, DOT)
            found += (x,)
            here = columns if whole else columns & (t < C)
            tl.store(Z_ptr + t * WIDTH + at, z, mask=here)
            tl.store(X_ptr + t * WIDTH + at, x, mask=here)
    tl.debug_barrier()


@triton.jit
def substitute_by_channel(
    L_ptr, Z_ptr, X_ptr, given, r, at, H: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr,
    DOT: tl.constexpr, TAKE: tl.constexpr, PHI: tl.constexpr, COUPLE: tl.constexpr, EXCLUSIVE: tl.constexpr,
    ROWS: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """The same with a weight L_ts own_t other_s D_ts for every channel, where COUPLE gives own and other of a row, and its decay.

    D_ts is the product of the decays of the rows s < l ≤ t; EXCLUSIVE leaves out that of t, and `BACK` exchanges own and other. The
    rows that later ones see decay on the way: within a block from row to row, then from block to block, so no factor is above 1.
    """
    columns = at < WIDTH
    blocks: tl.constexpr = (C + ROWS - 1) // ROWS
    block_decay = tl.full([BLOCK], 1.0, tl.float32)
    for number in tl.range(blocks, num_stages=1, disable_licm=True):
        first = (blocks - 1 - number if BACK else number) * ROWS
        tl.debug_barrier()
        if number > 0:
            rows = first + tl.arange(0, ROWS)
            done = (r >= first + ROWS) & (r < C) if BACK else r < first
            newest = r < first + 2 * ROWS if BACK else r >= first - ROWS
            places = r[None, :] * C + rows[:, None] if BACK else rows[:, None] * C + r[None, :]
            L = tl.load(L_ptr + places, mask=done[None, :] & (rows < C)[:, None], other=0.0)
            X_place = X_ptr + r[:, None] * WIDTH + at[None, :]
            X = tl.load(X_place, mask=done[:, None] & columns[None, :], other=0.0)
            X = tl.where(newest[:, None], X, X * block_decay[None, :])
            tl.store(X_place, X, mask=done[:, None] & columns[None, :])
            here = (rows < C)[:, None] & columns[None, :]
            tl.store(X_ptr + rows[:, None] * WIDTH + at[None, :], exact_dot(L, X, DOT), mask=here)
            tl.debug_barrier()
        right, before, taken, weights = (), (), (), ()  # all that the rows need, before the first of them waits for any
        for i in tl.static_range(ROWS):
            t = first + (ROWS - 1 - i if BACK else i)
            here = columns & (t < C)
            right += (tl.load(Z_ptr + t * WIDTH + at, mask=here, other=0.0),)
            before += (tl.load(X_ptr + t * WIDTH + at, mask=here & (number > 0), other=0.0),)
            taken += (TAKE(t, given, H, WIDTH),)
            for j in tl.static_range(i):
                s = first + (ROWS - 1 - j if BACK else j)
                weights += (tl.load(L_ptr + (s * C + t if BACK else t * C + s), mask=(s < C) & (t < C), other=0.0),)
        tl.debug_barrier()  # no thread overwrites a row that another has yet to load
        found, block_decay = (), tl.full([BLOCK], 1.0, tl.float32)
        for i in tl.static_range(ROWS):
            t = first + (ROWS - 1 - i if BACK else i)
            own, other, decay = COUPLE(taken[i])
            given_on = ()
            for j in tl.static_range(i):
                given_on += (found[j] * decay,)
            if not (BACK or EXCLUSIVE):
                found, block_decay = given_on, block_decay * decay
            coupled = before[i] * block_decay
            for j in tl.static_range(i):
                coupled += weights[i * (i - 1) // 2 + j] * found[j]
            z = right[i] - own * coupled
            x = other * PHI(z, taken[i], given, WIDTH, BLOCK, DOT)
            if BACK or EXCLUSIVE:
                found, block_decay = given_on, block_decay * decay
            found += (x * decay if BACK and not EXCLUSIVE else x,)
            tl.store(Z_ptr + t * WIDTH + at, z, mask=columns & (t < C))
        for i in tl.static_range(ROWS):
            t = first + (ROWS - 1 - i if BACK else i)
            tl.store(X_ptr + t * WIDTH + at, found[i], mask=columns & (t < C))
    tl.debug_barrier()
