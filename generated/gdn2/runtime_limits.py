"""The limits of the tiles of a program, and the widths that would fit where they are larger; the compiler asks, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

LARGEST = 1 << 16  # numbers of a tile: more do not fit into the registers of a processor
MOST = 1 << 17  # numbers of all tiles that are carried: with more, kernels take minutes to compile and live in spilled registers
SHARED = 227 * 1024  # bytes of shared memory that a program may have
LEAST = 16  # entries of a width that a program holds at least
BYTES = 4


def power_of_two(n: int) -> int:
    """The least power of two that is no less than n; Triton's own function, which kernels may call too, takes ten times as long."""
    return 1 << (n - 1).bit_length()


def numbers(tiles: Sequence[str], blocks: Mapping[str, int]) -> list[int]:
    """The number of entries of each tile; a tile is the letters of its widths, `blocks` are the padded lengths by letter."""
    return [math.prod(blocks[width] for width in widths) for widths in tiles]


def fits(tiles: Sequence[str], blocks: Mapping[str, int], together: bool) -> bool:
    """True if a program can hold these tiles, one at a time or all `together`."""
    found = numbers(tiles, blocks)
    return max(found, default=0) <= LARGEST and not (together and sum(found) > MOST)


def shared_out(tiles: Sequence[str], blocks: Mapping[str, int], split: str, together: bool = True) -> dict[str, int]:
    """The blocks, with that of the width `split`, which programs may share out, halved until the tiles fit, or it is least."""
    found = dict(blocks)
    while split and not fits(tiles, found, together) and found[split] > LEAST:
        found[split] //= 2
    return found


def what_would_fit(tiles: Sequence[str], blocks: Mapping[str, int], together: bool, fixed: str = "C") -> dict[str, int]:
    """The nearest padded lengths that fit: of the widths that are not `fixed`, the longest is halved until they do."""
    found = dict(blocks)
    while not fits(tiles, found, together):
        widest = max((width for width in found if width not in fixed), key=lambda width: found[width])
        found[widest] //= 2
    return found


def refusal(tiles: Sequence[str], lengths: Mapping[str, int], blocks: Mapping[str, int], together: bool, split: str = "") -> str:
    """ "K = 300, V = 300 takes 1048576 bytes of registers; one with K = 256, V = 256 would fit", or "" for widths that do.

    Of the width `split` a program holds a part; any length of it fits.
    """
    if fits(tiles, blocks, together):
        return ""
    sizes = numbers(tiles, blocks)
    taken = BYTES * (sum(sizes) if together else max(sizes))
    nearest = {**what_would_fit(tiles, blocks, together, f"C{split}"), split: lengths.get(split, 0)}
    return f"{named(lengths)} takes {taken} bytes of registers; one with {named({width: nearest[width] for width in lengths})} would fit"


def refused_operands(pairs: Sequence[tuple[str, str]], lengths: Mapping[str, int], blocks: Mapping[str, int], size: int) -> str:
    """ "K = 561 (features), N = 64 takes 262144 bytes of shared memory; one with K = 512, N = 64 would fit", or "" for operands that do.

    The operands are those of products over features of keys. A product has a pair of tiles, both of which are in shared memory at once,
    with `size` bytes a number.
    """

    def taken(found: Mapping[str, int]) -> int:
        return max((size * sum(numbers(pair, found)) for pair in pairs), default=0)

    nearest, letters = dict(blocks), "".join(a + b for a, b in pairs)
    lengths = {width: length for width, length in lengths.items() if width in letters}
    while taken(nearest) > SHARED:
        nearest[max(lengths, key=lambda width: nearest[width])] //= 2
    if nearest == blocks:
        return ""
    would = {width: min(length, nearest[width]) if nearest[width] < blocks[width] else length for width, length in lengths.items()}
    has = named(lengths).replace(f"K = {lengths['K']}", f"K = {lengths['K']} (features)")
    return f"{has} takes {taken(blocks)} bytes of shared memory; one with {named(would)} would fit"


def named(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{width} = {length}" for width, length in lengths.items())
