"""One shape for everything that is measured or checked: a `Result` is one number beside its limit, a `Record` the results of one command.

    {"command": "miras bench yaad", "device": "NVIDIA H200", "versions": {"torch": "2.11.0"}, "seed": 0, "rows": [
        {"what": "forward", "name": "yaad", "digest": "0bb9cdf59658", "value": 0.79, "limit": null, "unit": "ms", "passed": null, …}]}

A row has further keys where a number needs more words: the widths, the precision, the check that it belongs to.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from miras_compiler.errors import InputError
from miras_compiler.version import __version__

LIBRARIES = ("torch", "triton", "transformers", "accelerate", "tokenizers", "numpy")


@dataclass(frozen=True)
class Origin:
    """The origin of results: the command, the device, the versions of libraries by name, the seed of everything that was drawn."""

    command: str
    device: str
    versions: Mapping[str, str]
    seed: int

    def as_dict(self) -> dict[str, Any]:
        return {"command": self.command, "device": self.device, "versions": dict(self.versions), "seed": self.seed}


@dataclass(frozen=True)
class Result:
    """One number of one package, or the reason why there is none.

    `what` names the measure, `name` and `digest` the package ("" where unknown). `value` is in `unit`; a value above `limit` fails.
    `passed` is None where nothing was claimed, or could not be tried. `about` has further facts, by names of their own.
    """

    what: str
    name: str
    digest: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    passed: bool | None = None
    note: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: a number that JSON lacks is a text, "inf" or "nan"."""
        return {
            "what": self.what, "name": self.name, "digest": self.digest, "value": _written(self.value), "limit": _written(self.limit),
            "unit": self.unit, "passed": self.passed, "note": self.note, **self.about,
        }  # fmt: skip


KEYS = frozenset(each.name for each in fields(Result)) - {"about"}


@dataclass(frozen=True)
class Record:
    """The results of one command on one machine."""

    origin: Origin
    results: Sequence[Result]

    def as_dict(self) -> dict[str, Any]:
        return {**self.origin.as_dict(), "rows": [result.as_dict() for result in self.results]}

    def text(self) -> str:
        """The file."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n"


def read_record(path: Path) -> Record:
    """The results in a file. InputError where it holds none."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        origin = Origin(str(tree["command"]), str(tree["device"]), dict(tree["versions"]), int(tree["seed"]))
        return Record(origin, tuple(map(result_of, tree["rows"])))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: holds no results: {said}; `miras bench --results` and `miras verify` write such files") from None


def result_of(row: Mapping[str, Any]) -> Result:
    """A row of a file as a result; KeyError where it lacks a key, ValueError where a number is none."""
    what, name, digest, unit, note = (str(row[key]) for key in ("what", "name", "digest", "unit", "note"))
    value, limit = (None if row[key] is None else float(row[key]) for key in ("value", "limit"))
    return Result(what, name, digest, value, limit, unit, row["passed"], note, {key: x for key, x in row.items() if key not in KEYS})


def origin_here(device: str, seed: int, command: str | None = None) -> Origin:
    """This process as an origin; the command is that of the command line where none is named."""
    return Origin(" ".join(["miras", *sys.argv[1:]]) if command is None else command, device, versions_here(), seed)


def versions_here() -> dict[str, str]:
    """The versions of this compiler, of Python, and of the libraries that are installed."""
    found = {"miras": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """The name of this machine's processor."""
    return f"cpu ({platform.processor() or platform.machine()})"


def _written(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
