"""Measured speed, memory and errors: the records in a folder that are of the specs compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.compare.subjects import Compared
from miras_compiler.errors import InputError
from miras_compiler.records import Record, Result, read_record

FOLDER = Path("benchmarks/results")
SPEEDS = ("forward", "both", "tokens", "peak_gib")  # the figures that have a column; others are listed
ERRORS = ("error", "limit")
NAMING = ("label", "contender", "dtype", "entry", "remark", "bound")  # facts that have a place of their own, or none


class ResultLine(NamedTuple):
    """A line of a table: its title, its figures by name, and a remark.

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
    """The figures of each spec, and remarks on results that were not used, with the reason."""

    figures: tuple[tuple[ResultLine, ...], ...]
    ignored: tuple[str, ...]

    @property
    def has_speeds(self) -> bool:
        return any(line.is_speed for lines in self.figures for line in lines)


def read_results(subjects: Sequence[Compared], place: Path | None) -> Results:
    """The results in a file, or in all of a folder; without `place` in benchmarks/results, where there is such a folder.

    InputError where `place` is neither there nor a record."""
    if place is not None and not place.exists():
        raise InputError(f"{place}: there are no results; name a file or a folder that `miras bench --results` has written")
    folder = place or FOLDER
    ignored: dict[str, None] = {}
    records: dict[str, Record] = {}
    for path in [folder] if folder.is_file() else sorted(folder.glob("*.json")):
        try:
            records[str(path)] = read_record(path)
        except InputError as error:
            if path == place:
                raise
            ignored[f"{error}; not used"] = None
    figures = [tuple(_of_subject(subject, records, ignored)) for subject in subjects]
    return Results(tuple(figures), tuple(ignored))


def _of_subject(subject: Compared, records: Mapping[str, Record], ignored: dict[str, None]) -> Iterator[ResultLine]:
    name = subject.compilation.spec.name
    for source, record in records.items():
        used: list[Result] = []
        others: Counter[str] = Counter()
        for result in record.results:
            if result.name != name:
                continue
            if result.digest == subject.digest or (not result.digest and _same_widths(result, subject)):
                used.append(result)
            else:
                why = f"of the digest {result.digest}, and {subject.label} has {subject.digest}" if result.digest else "of other widths"
                others[why] += 1
        for why, count in others.items():
            counted = f"{count} rows of {name} are" if count > 1 else f"a row of {name} is"
            ignored[f"{source}: {counted} {why}: not used"] = None
        yield from _contenders(source, record.origin.device, [each for each in used if "contender" in each.about])
        yield from _checks(source, record.origin.device, [each for each in used if "contender" not in each.about])


def _same_widths(result: Result, subject: Compared) -> bool:
    """Tells whether a result without a digest was measured at the widths of the spec, and at its chunk length where it says one."""
    spec, about = subject.compilation.spec, result.about
    if "label" in about:
        hidden = f" N{spec.hidden_dim}" if spec.hidden_dim else ""
        return bool(about["label"] == f"{spec.name} D{spec.key_dim}{hidden} chunk {spec.chunk.size}")
    return (about.get("key"), about.get("hidden")) == (spec.key_dim, spec.hidden_dim)


def _contenders(source: str, device: str, results: Sequence[Result]) -> Iterator[ResultLine]:
    """A figure for every contender, with all its numbers."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.about["label"], result.about["contender"], result.digest), []).append(result)
    for (_, contender, digest), group in groups.items():
        values: dict[str, Any] = {}
        for each in group:
            values |= {name: x for name, x in each.about.items() if name not in NAMING}
            values |= {name: x for name, x in ((each.what, each.value), ("limit", each.limit)) if x is not None}
        remarks = dict.fromkeys(filter(None, (text for each in group for text in (each.note, each.about.get("remark", "")))))
        yield ResultLine(source, device, contender, values, "; ".join(remarks), bool(digest))


def _checks(source: str, device: str, results: Sequence[Result]) -> Iterator[ResultLine]:
    """A figure for every check: of several results, the one nearest to its limit, or beyond it."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(", ".join(filter(None, (result.what, str(result.about.get("dtype", ""))))), []).append(result)
    for what, group in groups.items():
        worst = max(group, key=_share)
        values = {"error": worst.value, "limit": worst.limit, **{name: x for name, x in worst.about.items() if name not in NAMING}}
        counted = f"the worst of {len(group)} rows" if len(group) > 1 else ""
        yield ResultLine(source, device, what, values, "; ".join(filter(None, (counted, worst.note))), bool(worst.digest))


def _share(result: Result) -> float:
    """The error as a share of its limit; infinite beyond a limit of 0, and where the error is no number."""
    if result.value is None or result.limit is None:
        return 0.0
    if math.isnan(result.value):
        return math.inf
    return result.value / result.limit if result.limit else math.inf if result.value else 0.0


def value_text(name: str, value: object) -> str:
    """A figure in its unit."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "" if value is None else str(value)
    if math.isinf(value):
        return "∞"
    unit = {"forward": " ms", "both": " ms", "peak_gib": " GiB"}.get(name, "")
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}{unit}"
