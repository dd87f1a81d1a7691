"""Printing: tables, set by rich in a terminal and by spaces elsewhere, JSON, and a line on the work in progress."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple, TextIO

NARROWEST = 6  # columns that a cell needs


class PrintedRow(NamedTuple):
    """A row of a table; `good` is False for a failure and None for neither good nor bad. `note` is a sentence about the row."""

    cells: Sequence[str]
    good: bool | None = None
    note: str = ""


def is_plain(stream: TextIO) -> bool:
    """True if a stream takes plain text only: a pipe, a file, a terminal where NO_COLOR is set or that can do no more."""
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def show_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def page_width() -> int | None:
    """The columns that plain text has: those that COLUMNS says, or a terminal's; None, for no limit, in pipes and files."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, width: int | None, indent: str = "") -> list[str]:
    """The text in lines of at most `width` columns."""
    if width is None:
        return [indent + text]
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False) or [""]


def show_table(title: str, columns: Sequence[str], rows: Sequence[PrintedRow]) -> None:
    """A table under a title. In plain text columns are two spaces apart, and a row's note stands below it."""
    if is_plain(sys.stdout):
        print("\n".join(_plain_lines(title, columns, rows, page_width())))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold not italic") if title else None, title_justify="left")
    noted = any(row.note for row in rows)
    for column in (*columns, *(["note"] if noted else [])):
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = (*row.cells, *([row.note] if noted else []))
        table.add_row(*map(Text, cells), style={True: "green", False: "red", None: ""}[row.good])
    Console().print(table)


def _plain_lines(title: str, columns: Sequence[str], rows: Sequence[PrintedRow], width: int | None) -> Iterator[str]:
    lines = list(zip(columns, *(row.cells for row in rows), strict=True))
    widths = [max(map(_width, column)) for column in lines]
    if width is not None:
        words = [max(_width(word) for cell in column for word in cell.split() or [""]) for column in lines]
        widths = _narrowed(widths, words, width - 2 * (len(widths) - 1))
    if title:
        yield from wrapped(title, width)
    for row in (PrintedRow(columns), *rows):
        cells = [_folded(cell, space) for cell, space in zip(row.cells, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            yield "  ".join(part + " " * (space - _width(part)) for part, space in zip(parts, widths, strict=True)).rstrip()
        if row.note:
            yield from wrapped(row.note, width, "    ")


def _narrowed(widths: list[int], words: list[int], room: int) -> list[int]:
    """The widths with the widest ones made equal, so that all fit where that can be; words, if that is enough, are not broken."""
    for least in (words, [NARROWEST] * len(widths)):
        for narrow in range(max(widths, default=0), NARROWEST - 1, -1):
            narrowed = [max(min(width, narrow), min(width, word)) for width, word in zip(widths, least, strict=True)]
            if sum(narrowed) <= room:
                return narrowed
    return [min(width, NARROWEST) for width in widths]


def _width(text: str) -> int:
    return sum(not unicodedata.combining(character) for character in text)


def _folded(text: str, width: int) -> list[str]:
    return [text] if _width(text) <= width else textwrap.wrap(text, width, break_on_hyphens=False)


@contextlib.contextmanager
def busy(doing: str) -> Iterator[Callable[[str], None]]:
    """Shows in a terminal, on stderr, the work in progress while it lasts; yields a function that changes the text."""
    if is_plain(sys.stderr):
        yield lambda doing: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(doing)) as status:
        yield lambda doing: status.update(escape(doing))


@contextlib.contextmanager
def counting(doing: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """Shows on stderr how much of a long run is done: a bar in a terminal, elsewhere a line each; yields a function that takes the part
    that is done.
    """
    if is_plain(sys.stderr):
        yield lambda done: print(f"{doing}: {done}", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(escape(doing), total=total)

        def tell(done: str) -> None:
            progress.console.print(escape(done), highlight=False)
            progress.advance(task)

        yield tell
