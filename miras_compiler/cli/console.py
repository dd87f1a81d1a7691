"""What is printed: tables, set by rich in a terminal and by spaces elsewhere, JSON, and a line that says what goes on."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TextIO


class Row(NamedTuple):
    """A row of a table; `good` is False for what failed and None for what is neither good nor bad."""

    cells: Sequence[str]
    good: bool | None = None


def is_plain(stream: TextIO) -> bool:
    """Whether a stream takes plain text only: a pipe, a file, a terminal where NO_COLOR is set or that can do no more."""
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def show_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def show_table(title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """A table under a title. In plain text no line is wrapped or cut, and columns are two spaces apart."""
    if is_plain(sys.stdout):
        print("\n".join(_plain_lines(title, columns, rows)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold not italic") if title else None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row.cells), style={True: "green", False: "red", None: ""}[row.good])
    Console().print(table)


def _plain_lines(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    lines = [columns, *(row.cells for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    if title:
        yield title
    for line in lines:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    return sum(not unicodedata.combining(character) for character in text)


@contextlib.contextmanager
def busy(doing: str) -> Iterator[Callable[[str], None]]:
    """Shows in a terminal, on stderr, what is going on, while it goes on; yields a function that says something else."""
    if is_plain(sys.stderr):
        yield lambda doing: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(doing)) as status:
        yield lambda doing: status.update(escape(doing))


@contextlib.contextmanager
def counting(doing: str, total: int | None) -> Iterator[Callable[[str], None]]:
    """Shows on stderr how much of a long run is done: a bar in a terminal, elsewhere a line each; yields a function that says what is."""
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
