# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator, assignment"
"""Kernels of the short convolution, of silu and of length 1 in every head behind it; forward and backward.

A program walks over TILE tokens at a time of a batch's row, or of the row of packed sequences, for G groups of D channels; a row of
tokens is one tensor [G, columns], so a window over tokens is a choice of tensors. LEAD is the number of tokens before the one that the
window ends with. Sums are taken in float32.

`off` is how many tokens a token is into its sequence n, `past` [members, LEAD, C] the tokens before each sequence.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .runtime_device_functions import sigmoid

NUMBERS = ["T", "members", "parts", "tiles"]  # arguments for whose divisors Triton compiles no kernels of their own


@triton.jit(do_not_specialize=NUMBERS)
def convolve(
    x_ptr, weight_ptr, past_ptr, cu_ptr, y_ptr, tail_ptr, T, members, parts, tiles,
    C: tl.constexpr, D: tl.constexpr, G: tl.constexpr, COLUMNS: tl.constexpr, LEAD: tl.constexpr, TILE: tl.constexpr,
    SILU: tl.constexpr, UNIT: tl.constexpr, PACKED: tl.constexpr, PAST: tl.constexpr,
):  # fmt: skip
    """The results y, and the last LEAD tokens of every sequence, those of its past among them."""
    row, part = (tl.program_id(0) // parts).to(tl.int64), tl.program_id(0) % parts
    at, here = channels(tl.program_id(1), C, D, G, COLUMNS)
    weights = taps(weight_ptr, at, here, C, LEAD)
    for number in tl.range(tiles, num_stages=1):
        first = (part * tiles + number) * TILE
        rows = load_tokens(x_ptr, past_ptr, row, first, T, at, here, C, LEAD, TILE, PACKED, PAST)
        n = sequences(cu_ptr, row, first, members, TILE, PACKED)
        for i in tl.static_range(TILE):
            t = first + i
            m, off, _end = place(n, cu_ptr, t, i, T, TILE, PACKED)
            y, _window = weighted(rows, i, weights, past_ptr, m, off, at, here, C, LEAD, PACKED, PAST)
            if SILU:
                y = y * sigmoid(y)
            if UNIT:
                y = y * tl.rsqrt(tl.sum(y * y, 1) + 1e-6)[:, None]
            tl.store(y_ptr + (row * T + t) * C + at, y, mask=here & (t < T))
    for number in tl.range(tl.program_id(0), members, tl.num_programs(0)):
        n = row * 0 + number
        begin, end = span(n, cu_ptr, T, PACKED)
        for j in tl.static_range(LEAD):
            token = end - LEAD + j
            last = tl.load(x_ptr + token * C + at, mask=here & (token >= begin), other=0.0)
            if PAST:
                before = tl.load(past_ptr + (n * LEAD + LEAD + token - begin) * C + at, mask=here & (token < begin), other=0.0)
                last = tl.where(token < begin, before, last)
            tl.store(tail_ptr + (n * LEAD + j) * C + at, last, mask=here)


@triton.jit(do_not_specialize=NUMBERS)
def convolve_backward(
    x_ptr, weight_ptr, past_ptr, cu_ptr, d_y_ptr, d_tail_ptr, d_x_ptr, d_weight_ptr, d_past_ptr, T, members, parts, tiles,
    C: tl.constexpr, D: tl.constexpr, G: tl.constexpr, COLUMNS: tl.constexpr, LEAD: tl.constexpr, TILE: tl.constexpr,
    SILU: tl.constexpr, UNIT: tl.constexpr, PACKED: tl.constexpr, PAST: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """The gradient of x, each program's share of that of the weights, and that of the past of every sequence that has a token.

    A program goes from its last token to its first, behind the LEAD tokens that follow it. `ahead` are the sums for the next token and
    for those before it: at the first token of a sequence they go to its past.
    """
    row, part = (tl.program_id(0) // parts).to(tl.int64), tl.program_id(0) % parts
    at, here = channels(tl.program_id(1), C, D, G, COLUMNS)
    weights = taps(weight_ptr, at, here, C, LEAD)
    ahead = following(
        x_ptr, past_ptr, cu_ptr, d_y_ptr, weights, row, (part + 1) * tiles * TILE, T, members, at, here,
        C, LEAD, TILE, SILU, UNIT, PACKED, PAST,
    )  # fmt: skip
    d_weights = ()
    for _lag in tl.static_range(LEAD + 1):
        d_weights += (tl.zeros([G, COLUMNS], tl.float32),)
    for number in tl.range(tiles, num_stages=1):
        first = ((part + 1) * tiles - 1 - number) * TILE
        rows = load_tokens(x_ptr, past_ptr, row, first, T, at, here, C, LEAD, TILE, PACKED, PAST)
        slopes = load_tokens(d_y_ptr, past_ptr, row, first, T, at, here, C, 0, TILE, PACKED, False)
        n = sequences(cu_ptr, row, first, members, TILE, PACKED)
        for i in tl.static_range(TILE - 1, -1, -1):
            t = first + i
            m, off, end = place(n, cu_ptr, t, i, T, TILE, PACKED)
            y, window = weighted(rows, i, weights, past_ptr, m, off, at, here, C, LEAD, PACKED, PAST)
            d_sum = slope(y, slopes[i].to(tl.float32), SILU, UNIT)
            d_x = ahead[0] + d_sum * weights[0]
            if TAIL:
                d_x += load_tail(d_tail_ptr, m, t - end + LEAD, t < end, at, here, C, LEAD)
            tl.store(d_x_ptr + (row * T + t) * C + at, d_x, mask=here & (t < T))
            sums = ()
            for lag in tl.static_range(LEAD + 1):
                sums += (d_weights[lag] + d_sum * window[lag],)
            d_weights = sums
            if PAST:
                before = handed_on(ahead, d_sum, weights, 1, LEAD, False)
                for lag in tl.static_range(LEAD):
                    d_past = before[lag]
                    if TAIL:
                        d_past += load_tail(d_tail_ptr, m, LEAD - 1 - lag - (end - t), off == 0, at, here, C, LEAD)
                    tl.store(d_past_ptr + (m * LEAD + LEAD - 1 - lag) * C + at, d_past, mask=here & (off == 0) & (t < T))
            ahead = handed_on(ahead, d_sum, weights, off, LEAD, PACKED)
    for lag in tl.static_range(LEAD + 1):
        share = tl.program_id(0).to(tl.int64) * (LEAD + 1) + LEAD - lag
        tl.store(d_weight_ptr + share * C + at, d_weights[lag], mask=here)


@triton.jit
def following(
    x_ptr, past_ptr, cu_ptr, d_y_ptr, weights, row, first, T, members, at, here,
    C: tl.constexpr, LEAD: tl.constexpr, TILE: tl.constexpr, SILU: tl.constexpr, UNIT: tl.constexpr, PACKED: tl.constexpr,
    PAST: tl.constexpr,
):  # fmt: skip
    """The sums that the LEAD tokens from `first` on hand to those before them."""
    rows = load_tokens(x_ptr, past_ptr, row, first, T, at, here, C, LEAD, LEAD, PACKED, PAST)
    slopes = load_tokens(d_y_ptr, past_ptr, row, first, T, at, here, C, 0, LEAD, PACKED, False)
    n = sequences(cu_ptr, row, first, members, TILE, PACKED)
    ahead = ()
    for _lag in tl.static_range(LEAD):
        ahead += (tl.zeros(at.shape, tl.float32),)
    for i in tl.static_range(LEAD - 1, -1, -1):
        m, off, _end = place(n, cu_ptr, first + i, i, T, TILE, PACKED)
        y, _window = weighted(rows, i, weights, past_ptr, m, off, at, here, C, LEAD, PACKED, PAST)
        ahead = handed_on(ahead, slope(y, slopes[i].to(tl.float32), SILU, UNIT), weights, off, LEAD, PACKED)
    return ahead


@triton.jit
def channels(block, C: tl.constexpr, D: tl.constexpr, G: tl.constexpr, COLUMNS: tl.constexpr):
    """[G, COLUMNS]: the channels of a program, and which of them there are."""
    columns = tl.arange(0, COLUMNS)[None, :]
    at = (block * G + tl.arange(0, G)[:, None]) * D + columns
    return at, (columns < D) & (at < C)


@triton.jit
def taps(weight_ptr, at, here, C: tl.constexpr, LEAD: tl.constexpr):
    """The weights of a token itself, of the one before it, and so on."""
    found = ()
    for lag in tl.static_range(LEAD + 1):
        found += (tl.load(weight_ptr + (LEAD - lag) * C + at, mask=here, other=0.0).to(tl.float32),)
    return found


@triton.jit
def load_tokens(
    x_ptr, past_ptr, row, first, T, at, here,
    C: tl.constexpr, LEAD: tl.constexpr, TILE: tl.constexpr, PACKED: tl.constexpr, PAST: tl.constexpr,
):  # fmt: skip
    """The LEAD tokens before a tile, then its own: 0 behind the row, and before it, unless a batch has a past."""
    found = ()
    for i in tl.static_range(LEAD + TILE):
        t = first + i - LEAD
        x = tl.load(x_ptr + (row * T + t) * C + at, mask=here & (t >= 0) & (t < T), other=0.0)
        if PAST and not PACKED and i < LEAD:
            x = tl.where(t < 0, tl.load(past_ptr + (row * LEAD + LEAD + t) * C + at, mask=here & (t < 0), other=0.0), x)
        found += (x,)
    return found


@triton.jit
def sequences(cu_ptr, row, first, members, TILE: tl.constexpr, PACKED: tl.constexpr):
    """[TILE]: the sequences of a tile's tokens, the last that begins at a token or before it; a number where there are no borders."""
    n = row
    if PACKED:
        t, n = first + tl.arange(0, TILE), tl.zeros([TILE], tl.int32)
        high, apart = n + members, members
        while apart > 1:
            middle = (n + high) // 2
            is_before = (tl.load(cu_ptr + middle) <= t) & (middle > n)
            high = tl.where(is_before, high, tl.maximum(middle, n + 1))
            n = tl.where(is_before, middle, n)
            apart = (apart + 1) // 2
    return n


@triton.jit
def place(n, cu_ptr, t, i: tl.constexpr, T, TILE: tl.constexpr, PACKED: tl.constexpr):
    """The sequence of token t, how many tokens it is into it, and the end of the sequence; the token is the i-th of its tile."""
    off, end = t, T
    if PACKED:
        n = tl.sum(tl.where(tl.arange(0, TILE) == i, n, 0), 0).to(tl.int64)
        off, end = t - tl.load(cu_ptr + n).to(tl.int32), tl.load(cu_ptr + n + 1).to(tl.int32)
    return n, off, end


@triton.jit
def span(n, cu_ptr, T, PACKED: tl.constexpr):
    """The first token of a sequence, and its end."""
    begin, end = n * T, n * T + T
    if PACKED:
        begin, end = tl.load(cu_ptr + n).to(tl.int64), tl.load(cu_ptr + n + 1).to(tl.int64)
    return begin, end


@triton.jit
def weighted(
    rows, i: tl.constexpr, weights, past_ptr, n, off, at, here, C: tl.constexpr, LEAD: tl.constexpr, PACKED: tl.constexpr,
    PAST: tl.constexpr,
):  # fmt: skip
    """The weighted sum over the window of a tile's i-th token, and that window, the token itself first."""
    window = (rows[i + LEAD].to(tl.float32),)
    y = window[0] * weights[0]
    for lag in tl.static_range(1, LEAD + 1):
        x = rows[i + LEAD - lag].to(tl.float32)
        if PACKED:
            x = tl.where(off >= lag, x, 0.0)
            if PAST:
                x += tl.load(past_ptr + (n * LEAD + LEAD + off - lag) * C + at, mask=here & (off < lag), other=0.0).to(tl.float32)
        window += (x,)
        y += x * weights[lag]
    return y, window


@triton.jit
def slope(y, d_y, SILU: tl.constexpr, UNIT: tl.constexpr):
    """[G, COLUMNS]: the gradient of a weighted sum y whose result has the gradient d_y."""
    result = y
    if SILU:
        gate = sigmoid(y)
        result = y * gate
    if UNIT:
        scale = tl.rsqrt(tl.sum(result * result, 1) + 1e-6)[:, None]
        d_y = scale * (d_y - result * (scale * scale * tl.sum(result * d_y, 1)[:, None]))
    if SILU:
        d_y = d_y * (gate + result * (1 - gate))
    return d_y


@triton.jit
def handed_on(ahead, d_sum, weights, off, LEAD: tl.constexpr, PACKED: tl.constexpr):
    """The sums for the token before this one, and for those before that; 0 where this one is the first of packed sequences."""
    found = ()
    for lag in tl.static_range(LEAD):
        share = d_sum * weights[lag + 1]
        if lag + 1 < LEAD:
            share += ahead[lag + 1]
        found += (tl.where(off > 0, share, 0.0) if PACKED else share,)
    return found


@triton.jit
def load_tail(d_tail_ptr, n, j, wanted, at, here, C: tl.constexpr, LEAD: tl.constexpr):
    """[G, COLUMNS]: the gradient of the j-th of the last tokens of a sequence; 0 where that is none of them, or not wanted."""
    return tl.load(d_tail_ptr + (n * LEAD + j) * C + at, mask=here & (j >= 0) & wanted, other=0.0).to(tl.float32)
