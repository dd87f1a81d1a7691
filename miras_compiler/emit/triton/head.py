"""The head of a kernel: its decorator, its signature, and a line on its purpose."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from miras_compiler.schedule.kernel import Kernel

INDENT = "    "


def function_head(name: str, tensors: Sequence[str], widths: Sequence[str]) -> list[str]:
    """The lines before the body: every kernel is launched with the same arguments around its tensors and widths."""
    pointers = [*(f"{tensor}_ptr" for tensor in tensors), "position_ptr", "cu_ptr", "T", "members", "low", "high"]
    sizes = ["H", *widths, "C", *(f"B{w}" for w in widths), "BC", "DOT", "GRID", "PACKED", "SAVE"]
    return [
        "@triton.jit(do_not_specialize=JUST_NUMBERS)",
        f"def {name}(",
        *(f"{INDENT}{line}" for line in wrapped(pointers)),
        *(f"{INDENT}{line}" for line in wrapped([f"{size}: tl.constexpr" for size in sizes])),
        "):  # fmt: skip",
    ]


def describe(kernel: Kernel) -> str:
    """The purpose of the kernel, in one line."""
    way = {"forward": "one tile after another", "reverse": "from the last tile to the first", "each": "every tile on its own"}[kernel.walk]
    return f"{textwrap.shorten(', '.join(kernel.results), 90, placeholder=' …')}: {way}."


def wrapped(items: Sequence[str], limit: int = 120) -> list[str]:
    """Items with commas, in lines that fit."""
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) > limit:
            lines.append(line.rstrip())
            line = ""
        line += f"{item}, "
    return [*lines, line.rstrip()]
