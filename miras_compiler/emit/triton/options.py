"""The launches of a package's kernels: the rows of the launch table, as code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.triton.kernel import KernelPrinter
from miras_compiler.emit.triton.stages import HIDDEN
from miras_compiler.gpus.launch_table import ANY, FULL, Launch, launches
from miras_compiler.ir.nodes import TOKEN_AXES
from miras_compiler.schedule.forms import forms_of
from miras_compiler.schedule.tile import tile_length

HALF_A_FILE = 88 * 1024  # bytes of tiles that about half the registers of a processor, 4 warps, can hold
THIRD_OF_A_FILE = 56 * 1024
THIRD = 168  # registers of a thread with which three programs of 4 warps share a processor
TWICE = 128
MUCH = 64 * 1024  # bytes of tiles that live at once, of half the width
IN_PARTS = Launch(4, 2, 64, FULL)  # of a kernel that holds a part of the features, however many there are
MOST_SUMS = 96 * 128  # numbers that loops may sum up in 4 warps


def launch_options(rule: Rule, variants: Sequence[Sequence[KernelPrinter]]) -> str:
    """Per kernel its rows, narrow widths first."""
    rows = {}
    for printed in variants:
        name = printed[0].kernel.name
        default = estimated(printed) | ({} if rule.memory.deep else twice(printed[-1]))
        rows[name] = launches(name, forms_of(rule), tile_length(rule), default=default)
    return "{\n" + "\n".join(f'    "{name}": {rows_text(found)},' for name, found in rows.items()) + "\n}"


def rows_text(launches: Mapping[int, Launch]) -> str:
    """Rows as code, without default values."""
    usual = Launch(0, 1, 64, FULL)
    rows = []
    for width, launch in launches.items():
        fields = zip(("warps", "stages", "part", "registers"), launch, usual, strict=True)
        named = [f"{name}={value}" for name, value, default in fields if value != default]
        rows.append(f"LaunchRow({', '.join(['ANY' if width == ANY else str(width), *named])})")
    return f"({', '.join(rows)}{',' if len(rows) == 1 else ''})"


def estimated(variants: Sequence[KernelPrinter]) -> dict[int, Launch]:
    """Launches of a kernel that nobody has measured: more warps, and with them registers, where more tiles live at once.

    Of small programs, three run on a processor.
    """
    narrow, wide = variants[0], variants[-1]
    stages = 2 if narrow.walks else 1  # a walk loads the next tile while it computes one
    registers = THIRD if not narrow.walks and narrow.peak <= THIRD_OF_A_FILE else FULL
    found = {64: Launch(warps(narrow, narrow.peak + narrow.state_bytes), stages, 64, registers), ANY: Launch(8, 1, 64, FULL)}
    if wide.kernel.wide and wide.kernel.wide in (wide.split, wide.blocked):
        return found | {ANY: IN_PARTS}
    return found | ({256: Launch(warps(wide, wide.peak), 1, 64, FULL)} if wide.blocked == HIDDEN else {})


def warps(printed: KernelPrinter, peak: int) -> int:
    """For a walk more where many bytes of tiles live at its `peak`: there is one program of it on a processor anyway.

    Of other kernels two small programs are faster than one.
    """
    return 8 if printed.walks and peak > HALF_A_FILE else 4


def twice(printed: KernelPrinter) -> dict[int, Launch]:
    """The launch of a kernel of a linear memory for widths of up to twice 64, where it differs from that of still wider ones.

    With 8 warps, two of them do the same rows of a tile of 64 tokens where a product goes into another one; so there are 4, unless tiles
    take too many registers of so few.
    """
    if printed.walks and printed.split:
        return {TWICE: Launch(4, 2 if printed.peak <= MUCH else 1, 64, FULL)}
    if printed.blocked:
        numbers = sum(math.prod(64 if axis in TOKEN_AXES else TWICE for axis in node.axes) for node in printed.body.sums)
        return {TWICE: Launch(4 if numbers <= MOST_SUMS else 8, 2, 64, FULL)}
    if printed.split:
        return {TWICE: Launch(4, 1, TWICE, FULL)}
    return {TWICE: Launch(4, 1, 64, THIRD)} if printed.peak <= MUCH and not printed.walks else {}
