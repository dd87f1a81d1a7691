"""Measured speed, memory and errors: rows of results files that are of the specs compared."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.compare.subjects import Subject
from miras_compiler.errors import InputError

FOLDER = Path("benchmarks/results")
SPEEDS = ("forward", "both", "tokens", "peak_gib")  # the figures that have a column; others are listed
ERRORS = ("error", "limit")
NAMING = ("name", "label", "digest", "contender", "check", "dtype", "entry", "problem", "remark")


class Figure(NamedTuple):
    """A row of a results file: what was measured, its figures by name, and a remark.

    `certain` says that the file names the digest of this very spec; otherwise name and widths agree, and the file names no digest.
    """

    source: str
    device: str
    what: str
    values: Mapping[str, Any]
    remark: str
    certain: bool

    @property
    def is_speed(self) -> bool:
        return "forward" in self.values


class Results(NamedTuple):
    """The figures of each spec, and what was found of it but not used, with the reason."""

    figures: tuple[tuple[Figure, ...], ...]
    ignored: tuple[str, ...]


def read_results(subjects: Sequence[Subject], place: Path | None) -> Results:
    """The rows in a results file, or in all of a folder; without `place` in benchmarks/results, where there is such a folder."""
    if place is not None and not place.exists():
        raise InputError(f"{place}: there are no results; name a file or a folder that `miras bench --results` has written")
    folder = place or FOLDER
    paths = [folder] if folder.is_file() else sorted(path for path in folder.glob("*") if path.suffix in (".json", ".jsonl"))
    ignored: dict[str, None] = {}
    tables = [table for path in paths if (table := _read(path, ignored)) is not None]
    figures = [tuple(_of_subject(subject, tables, ignored)) for subject in subjects]
    return Results(tuple(figures), tuple(ignored))


class Table(NamedTuple):
    """A results file: facts about the run, and its rows."""

    source: str
    about: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


def _read(path: Path, ignored: dict[str, None]) -> Table | None:
    """None, with a remark, for a file that cannot be read; None for one of another kind."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = [json.loads(line) for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError) as error:
        ignored[f"{path}: cannot be read, and is not used: {error}"] = None
        return None
    about = {key: value for key, value in tree.items() if key != "rows"} if isinstance(tree, dict) else {}
    rows = tree.get("rows") if isinstance(tree, dict) else tree
    if not isinstance(rows, list):
        return None
    return Table(str(path), about, [row for row in rows if isinstance(row, dict)])


def _of_subject(subject: Subject, tables: Sequence[Table], ignored: dict[str, None]) -> Iterator[Figure]:
    spec = subject.compilation.spec
    for table in tables:
        used: list[Figure] = []
        others: Counter[str] = Counter()
        for row in table.rows:
            if _name(row) != spec.name:
                continue
            digest = row.get("digest")
            if digest == subject.digest or (digest is None and _same_widths(row, subject)):
                used.append(_figure(table, row, digest is not None))
            else:
                others[f"of the digest {digest}, and {subject.label} has {subject.digest}" if digest else "of other widths"] += 1
        for why, count in others.items():
            counted = f"{count} rows of {spec.name} are" if count > 1 else f"a row of {spec.name} is"
            ignored[f"{table.source}: {counted} {why}: not used"] = None
        yield from _worst(used)


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("name") or str(row.get("label", "")).partition(" ")[0])


def _same_widths(row: Mapping[str, Any], subject: Subject) -> bool:
    """Whether a row without a digest was measured at the widths of the spec, and at its chunk length where it says one."""
    spec = subject.compilation.spec
    if "label" in row:
        hidden = f" N{spec.hidden_dim}" if spec.hidden_dim else ""
        return bool(row["label"] == f"{spec.name} D{spec.key_dim}{hidden} chunk {spec.chunk.size}")
    return (row.get("key"), row.get("hidden")) == (spec.key_dim, spec.hidden_dim)


def _figure(table: Table, row: Mapping[str, Any], certain: bool) -> Figure:
    what = ", ".join(str(row[name]) for name in ("contender", "check", "dtype") if row.get(name)) or "measured"
    remark = "; ".join(str(row[name]) for name in ("problem", "remark") if row.get(name))
    values = {name: value for name, value in row.items() if name not in NAMING}
    return Figure(table.source, str(table.about.get("device", "")), what, values, remark, certain)


def _worst(figures: Sequence[Figure]) -> Iterator[Figure]:
    """Of several rows of one check, the one nearest to its limit, or beyond it."""
    by_what: dict[str, list[Figure]] = {}
    for figure in figures:
        by_what.setdefault(figure.what if not figure.is_speed else f"{figure.what} {len(by_what)}", []).append(figure)
    for rows in by_what.values():
        worst = max(rows, key=_share)
        counted = f"the worst of {len(rows)} rows" if len(rows) > 1 else ""
        yield worst._replace(remark="; ".join(filter(None, (counted, worst.remark))))


def _share(figure: Figure) -> float:
    error, limit = (figure.values.get(name) for name in ("error", "limit"))
    if not isinstance(error, int | float) or not isinstance(limit, int | float):
        return 0.0
    if math.isnan(error):
        return math.inf
    return error / limit if limit else math.inf if error else 0.0


def value_text(name: str, value: object) -> str:
    """A figure in its unit."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "" if value is None else str(value)
    if math.isinf(value):
        return "none" if name == "limit" else "∞"
    unit = {"forward": " ms", "both": " ms", "peak_gib": " GiB"}.get(name, "")
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}{unit}"
