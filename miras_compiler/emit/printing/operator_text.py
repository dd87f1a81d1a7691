"""Operators as functions in Python text: their heads, and their calls of the function that computes them."""

from __future__ import annotations

from collections.abc import Sequence

from miras_compiler.emit.interface import Interface
from miras_compiler.emit.printing.python_text import WIDTH, packed

OPTIONAL = {"erase_write_key": "k"}  # arguments that may be left out, and their substitutes
OPTIONS = {
    "initial_state": "State | None = None",
    "output_final_state": "bool = False",
    "cu_seqlens": "Tensor | None = None",
    "backend": 'str = "auto"',
}  # of a call, with their types
ON_GPU = tuple(OPTIONS)[:3]  # those of an operator by kernels
RETURNED = "tuple[Tensor, State | None]"


def operator_head(name: str, interface: Interface, options: Sequence[str] = tuple(OPTIONS), returns: str = RETURNED, more: str = "") -> str:
    """The head of an operator's definition: q, k, v, then keywords; on lines of their own the options of a call, and `more`."""
    tensors = [f"{argument.name}: Tensor" for argument in interface.tokens[:3]]
    tensors += ["*", *(f"{name}: Tensor | None = None" if name in OPTIONAL else f"{name}: Tensor" for name in interface.keywords)]
    given = [*(f"{option}: {OPTIONS[option]}" for option in options), *([more] if more else [])]
    return "\n".join([f"def {name}(", *packed(tensors, 4), *packed(given, 4), f") -> {returns}:  # fmt: skip"])


def operator_call(callee: str, groups: Sequence[Sequence[str]], options: Sequence[str] = tuple(OPTIONS)) -> str:
    """The statement that returns a call with tensors in dicts, a dict for every group of names, and options."""
    dicts = [[f'"{name}": {_value(name)}' for name in group] for group in groups]
    return _returned(callee, [f"{{{', '.join(items)}}}" for items in dicts], [line for items in dicts for line in _lines(items)], options)


def keyword_call(callee: str, interface: Interface, options: Sequence[str] = tuple(OPTIONS)) -> str:
    """The statement that returns a call with the same arguments."""
    given = [*(each.name for each in interface.tokens[:3]), *(f"{name}={name}" for name in (*interface.keywords, *options))]
    return _returned(callee, given, packed(given, 8), [])


def _returned(callee: str, given: Sequence[str], lines: Sequence[str], options: Sequence[str]) -> str:
    """`given` and options in one line, or `lines`, which hold `given`, and those of the options."""
    together = ", ".join([*given, *options])
    if len(line := f"    return {callee}({together})") <= WIDTH:
        return line
    if len(line := f"        {together}") <= WIDTH:
        return "\n".join([f"    return {callee}(", line, "    )"])
    return "\n".join([f"    return {callee}(", *lines, *packed(options, 8), "    )  # fmt: skip"])


def _value(name: str) -> str:
    return f"{OPTIONAL[name]} if {name} is None else {name}" if name in OPTIONAL else name


def _lines(items: Sequence[str]) -> list[str]:
    """A dict as an argument, in one line or in few."""
    line = f"        {{{', '.join(items)}}},"
    return [line] if len(line) <= WIDTH else ["        {", *packed(items, 12), "        },"]
