"""Schedules in words, for `explain`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from miras_compiler.schedule.facts import SINGLE, KernelFacts, size
from miras_compiler.schedule.kernel import Schedule
from miras_compiler.schedule.pressure import REGISTER_FILE, SHARED
from miras_compiler.schedule.walk import Walk

WAYS = {"forward": "walks the tiles", "reverse": "walks them in reverse", "each": "all tiles at once"}
WIDTH = 120


def describe_chunk_walks(starts: str, walk: str, why_no_tiles: str) -> str:
    """The kernels of a rule whose chunks walk at once: the reason, then those for the states of chunks and those of the walk, as texts."""
    return "\n".join([f"Triton kernels, {chunk_walks(why_no_tiles)}", "", starts, "", walk])


def chunk_walks(why_no_tiles: str) -> str:
    return f"over tiles for the states of chunks, then all chunks at once, each token by token, because {why_no_tiles}"


def describe_walk(walk: Walk, why_no_tiles: str, lengths: Mapping[str, int]) -> str:
    """The kernels that walk over tokens: the reason for them, the tiles that they carry, and those that they keep for the way back."""
    carried = SINGLE * sum(size(axes, lengths) for axes in walk.states.values())
    kept = SINGLE * sum(size(axes, lengths) for axes in walk.kept.values())
    kernels = [
        "walk_forward: token after token; for gradients it saves what it carries between segments",
        *_listed("carries", walk.states),
        f"  registers {kib(carried)}{_spilled(carried)}",
        "walk_backward: back over states that it computes again from what was saved",
        *_listed("keeps, for each token of a segment,", walk.kept),
        f"  {kib(kept)} a token; registers {kib(2 * carried)}{_spilled(2 * carried)}",
    ]
    return "\n".join([
        f"Triton kernels, token by token, because {why_no_tiles}",
        f"  sizes per head, of states and their gradients; a processor has {kib(REGISTER_FILE)} of registers",
        *(f"    {line}" for line in kernels),
    ])  # fmt: skip


def _spilled(registers: int) -> str:
    return " (more than there are: tiles may spill to memory)" if registers > REGISTER_FILE else ""


def describe_schedule(schedule: Schedule, facts: Sequence[KernelFacts], tile: str) -> str:
    """Every kernel: its role, the bytes that it loads and stores, the tiles that it computes again, its registers and memory.

    `facts` are those of the kernels, and `tile` are the tokens of a tile, in words.
    """
    lines = [
        f"Triton kernels, over tiles of {tile}",
        "  sizes per tile and head, tokens of 16 bits; registers and shared memory per program as the compiler estimates them,",
        f"  where a processor has {kib(REGISTER_FILE)} of registers and a program may have {kib(SHARED)} of shared memory",
    ]
    lines += [f"  {schedule.reason}", *(f"    {line}" for kernel in facts for line in _kernel(kernel))]
    return "\n".join(lines)


def _kernel(facts: KernelFacts) -> Iterator[str]:
    products = f"{facts.products} product{'' if facts.products == 1 else 's'}"
    blocks = [f"{axis} in blocks of {block}" for axis, block in facts.blocks.items()]
    rows = ["surprises row after row"] if facts.substitutes else []
    yield f"{facts.name}: {', '.join([WAYS[facts.walk], products, *rows, *blocks])}"
    yield from _listed("loads", facts.loads, facts.loads)
    yield from _listed("computes again", facts.again)
    yield from _listed("saves", facts.saves, facts.saves)
    yield from _listed("gives", facts.gives)
    least, most = facts.pressure.registers
    shared = f"shared memory {kib(facts.pressure.shared)}"
    yield f"  moves {kib(facts.moved)}; registers {kib(least)} to {kib(most)}{_spilled(least)}, {shared}"


def _listed(verb: str, names: Iterable[str], sizes: Mapping[str, int] | None = None) -> list[str]:
    """The names behind a verb, with the sum of their sizes; nothing for no names."""
    text = f"{verb} {', '.join(names)}"
    total = f" ({kib(sum(sizes.values()))})" if sizes else ""
    return textwrap.wrap(text + total, WIDTH, initial_indent="  ", subsequent_indent="    ") if text != f"{verb} " else []


def kib(number: int) -> str:
    return f"{number / 1024:.{0 if number >= 10 * 1024 else 1}f} KiB"
