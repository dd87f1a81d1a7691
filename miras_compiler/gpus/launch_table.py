"""The launches of kernels: `launch_table.json`, the rows that measurements on a GPU filled.

A row was measured on one class of GPU; it holds for one form and widths up to its own: the tile length (null for any), and by
kernel its warps, stages, the block of a width of which a program holds a part, and registers. `measured` is the device and the date. Every
row was checked against float64 on that GPU before it entered. The form of a row is a rule ("mlp l2 l2 momentum": memory, attentional bias,
retention, optimizer), or "matrix" or "deep" for all such memories.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

ANY = 1 << 30  # a width that no memory reaches
FULL = 255
GPUS_TUNED = ("H100", "H200")  # whose kernels are the same: a row holds for both


class Launch(NamedTuple):
    """Warps, stages, block of the split width, and registers of a thread at most."""

    warps: int
    stages: int
    block: int
    registers: int


DEFAULT: Mapping[int, Launch] = {64: Launch(4, 1, 64, FULL), ANY: Launch(8, 1, 64, FULL)}


class TableRow(NamedTuple):
    gpu: str
    form: str
    width: int | None  # None: any
    tile: int | None  # None: any
    kernels: Mapping[str, Launch]
    measured: str

    @property
    def limit(self) -> int:
        return ANY if self.width is None else self.width

    def text(self) -> str:
        """The row as a line of the file."""
        return json.dumps({**self._asdict(), "kernels": {name: list(launch) for name, launch in self.kernels.items()}})


def read_table(text: str) -> tuple[TableRow, ...]:
    return tuple(_row(row) for row in json.loads(text))


def _row(row: Mapping[str, Any]) -> TableRow:
    kernels = {name: Launch(*launch) for name, launch in row["kernels"].items()}
    return TableRow(row["gpu"], row["form"], row["width"], row["tile"], kernels, row["measured"])


def table_text(rows: Iterable[TableRow]) -> str:
    """The file: a row a line."""
    return "[\n" + ",\n".join(f"  {row.text()}" for row in rows) + "\n]\n"


def with_row(rows: Iterable[TableRow], new: TableRow) -> tuple[TableRow, ...]:
    """The rows with `new` in place of the one for the same GPU, form, width and tile; ordered by these."""
    kept = [row for row in rows if row[:4] != new[:4]]
    return tuple(sorted([*kept, new], key=lambda row: (row.gpu, row.form, row.limit, row.tile or 0)))


FILE = Path(__file__).with_name("launch_table.json")
TABLE = read_table(FILE.read_text(encoding="utf-8"))


def launches(
    kernel: str,
    forms: tuple[str, str],
    tile: int,
    table: Iterable[TableRow] = TABLE,
    default: Mapping[int, Launch] = DEFAULT,
) -> dict[int, Launch]:
    """The launch of a kernel by the largest width it holds for, narrow ones first; `forms` are the rule and the kind of memory.

    A row for the rule goes before one for the kind of memory, and one of a later GPU before one of an earlier. Where no row holds, the
    default does.
    """
    found = dict(default)
    for form, gpu in product(reversed(forms), GPUS_TUNED):
        rows = [row for row in table if row.gpu == gpu and row.form == form and row.tile in (None, tile)]
        found |= {row.limit: row.kernels[kernel] for row in rows if kernel in row.kernels}
    return dict(sorted(found.items()))
