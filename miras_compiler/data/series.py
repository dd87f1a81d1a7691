"""Series of numbers in CSV files: a line for every time, a column for every channel."""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miras_compiler.errors import Collected, InputError, short

TIMES = frozenset(["date", "time", "timestamp", "datetime", "ds", "index"])  # names of columns that say when, in any case
TIME = re.compile(r"\d.*[-/:.TQ ]|[-/:.TQ ].*\d")  # such as 2020-01-31, 31.1.2020 12:00, 2020Q1
GAPS = frozenset(["", "na", "n/a", "nan", "null", "none", "-", "?"])
MOST_SHOWN = 10  # problems of a file in one message
DELIMITERS = ",;\t"

Values = NDArray[np.float64]
Line = tuple[int, list[str]]


@dataclass(frozen=True)
class Series:
    """One file: `values` [T, channels], and the names of the channels."""

    path: Path
    channels: tuple[str, ...]
    values: Values


def read_series(path: Path) -> Series:
    """The series in a CSV file; the separator is a comma, a semicolon or a tab, names in the first line and times in the first column are
    optional. InputError names the file, the line and the column of everything that is no number.
    """
    lines = list(_lines(path))
    if not lines:
        raise InputError(f"{path}: has no lines; name a CSV file with a line for every time")
    names = _names(lines)
    rows = lines[1:] if _is_header(lines[0][1]) else lines
    if not rows:
        raise InputError(f"{path}: has names of columns and no numbers; a line for every time belongs below them")
    skipped = 1 if _says_when(lines[0][1][0], [cells[0] for _, cells in rows]) else 0
    if len(names) == skipped:
        raise InputError(f"{path}: has a column of times and none of numbers; put the numbers into columns beside it")
    problems: list[str] = []
    values = np.empty((len(rows), len(names) - skipped))
    for number, (line, cells) in enumerate(rows):
        if len(cells) != len(names):
            problems.append(f"{path}:{line}: has {len(cells)} cells, and the first line has {len(names)}; give every line the same columns")
            continue
        for column in range(skipped, len(names)):
            values[number, column - skipped] = value = _number(cells[column])
            if not math.isfinite(value):
                problems.append(f"{path}:{line}: column '{short(names[column])}' {_complaint(cells[column])}")
    if problems:
        others = len(problems) - MOST_SHOWN
        raise InputError("\n".join([*problems[:MOST_SHOWN], *([f"and {others:,} more in {path}"] if others > 0 else [])]))
    return Series(path, tuple(names[skipped:]), values)


def read_channels(paths: Sequence[Path]) -> list[Series]:
    """The series of several files, and of all CSV files below folders, which have equally many channels; InputError with all that is
    wrong with any of them."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: the folder has no CSV files; name one that has")
        files += inside
    found: list[Series] = []
    problems = Collected()
    for path in files:
        with problems.keeping():
            found.append(each := read_series(path))
            if len(each.channels) != len(found[0].channels):
                raise InputError(
                    f"{each.path}: has {len(each.channels)} columns of numbers, and {found[0].path} has {len(found[0].channels)}; "
                    "one model takes series of equally many channels"
                )
    problems.check()
    return found


def write_series(file: Path, series: Sequence[Series]) -> None:
    """Writes series into one file, which `read_saved` reads."""
    tree: dict[str, Any] = {}
    for number, each in enumerate(series):
        tree |= {f"values_{number}": each.values, f"channels_{number}": np.array(each.channels), f"path_{number}": np.array(str(each.path))}
    np.savez(file, **tree)


def read_saved(file: Path) -> list[Series]:
    """The series in a file that `write_series` wrote; InputError where it is none."""
    try:
        with np.load(file, allow_pickle=False) as tree:
            return [
                Series(Path(str(tree[f"path_{number}"])), tuple(map(str, tree[f"channels_{number}"])), tree[f"values_{number}"])
                for number in range(len(tree.files) // 3)
            ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: the series of the run cannot be read: {error}; train it again") from None


def _lines(path: Path) -> Iterator[Line]:
    """The lines that are not empty, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; name a CSV file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text: byte {error.start} is not UTF-8; name a CSV file, or convert it to UTF-8") from None
    first = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(DELIMITERS, key=first.count))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: is not a line of a CSV file: {error}") from None


def _names(lines: Sequence[Line]) -> list[str]:
    """The names in the first line, or the columns' numbers."""
    cells = lines[0][1]
    return cells if _is_header(cells) else [str(number + 1) for number in range(len(cells))]


def _is_header(cells: Sequence[str]) -> bool:
    """True if a first line holds names: no cell but a time is a number, and not all are gaps."""
    own = cells[1:] or cells
    return all(math.isnan(_number(cell)) and cell.lower() not in GAPS for cell in own)


def _says_when(name: str, cells: Sequence[str]) -> bool:
    """True if the first column holds times: by its name, or because each of its cells reads as one."""
    return name.lower() in TIMES or all(TIME.search(cell) and math.isnan(_number(cell.replace(",", "."))) for cell in cells)


def _number(cell: str) -> float:
    """The number in a cell; NaN where there is none."""
    try:
        return math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan


def _complaint(cell: str) -> str:
    if cell.lower() in GAPS:
        return "has a gap; fill it, with the value before it for example, or cut the file there"
    if math.isinf(_number(cell)):
        return f"holds {short(cell)}; a series has finite numbers"
    if "," in cell and not math.isnan(_number(cell.replace(",", "."))):
        return f"holds '{short(cell)}'; write a decimal point, not a comma"
    return f"holds '{short(cell)}', which is not a number; take the column out, or replace the word"
