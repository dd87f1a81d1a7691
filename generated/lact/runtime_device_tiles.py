# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, no-untyped-def, untyped-decorator"
"""Device functions that find a program's tokens: sequences are cut into tiles of C tokens, and buffers have one slot for every tile.

`n` is a sequence and `i` one of its tiles. In a batch, the slots of tiles of the same number stand together; in packed sequences, the slots
of one sequence do.

GRID says which tiles a launch runs: "whole", all tiles of sequences that begin with a fresh chunk; "resumed", the one tile that completes
the chunk that a sequence was in the middle of; "after", the tiles behind that one.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def span(n, position_ptr, cu_ptr, T, members, C: tl.constexpr, GRID: tl.constexpr, PACKED: tl.constexpr):
    """The place of sequence n: its first token and its end, the token at which its first tile begins, its number of tiles, the slot of its
    first tile, and the step from one slot of the sequence to the next.

    A resumed tile begins `position` tokens before the sequence does.
    """
    first, end = n * T, n * T + T
    slot, step = n, members
    if PACKED:
        first, end = tl.load(cu_ptr + n).to(tl.int64), tl.load(cu_ptr + n + 1).to(tl.int64)
        slot, step = first // C + n, 1  # the slots of two sequences never overlap
    base = first
    if GRID == "resumed":
        base = first - tl.load(position_ptr + n)
        end = tl.minimum(end, base + C)
        tiles = tl.where(base < first, 1, 0)
        slot = n
    else:
        if GRID == "after":
            position = tl.load(position_ptr + n)
            first = tl.minimum(end, first + tl.where(position > 0, C - position, 0))
            base = first
        tiles = ((end - first + C - 1) // C).to(tl.int32)
    return first, end, base, tiles, slot, step


@triton.jit
def walked(tiles, slot, step, low, high):
    """The tiles of a sequence whose slots are from `low` to `high`: the number of the first, and the number behind the last."""
    return tl.maximum(0, (low - slot + step - 1) // step), tl.minimum(tiles, (high - slot + step - 1) // step)


@triton.jit
def sequence_of(index, cu_ptr, members, C: tl.constexpr, GRID: tl.constexpr, PACKED: tl.constexpr):
    """The sequence that slot `index` belongs to: by bisection of the borders where sequences are packed."""
    n = index % members
    if PACKED and GRID != "resumed":
        n, high = index * 0, index * 0 + members
        while high - n > 1:
            middle = (n + high) // 2
            is_before = tl.load(cu_ptr + middle).to(tl.int64) // C + middle <= index
            n = tl.where(is_before, middle, n)
            high = tl.where(is_before, high, middle)
    return n
