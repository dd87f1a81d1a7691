"""The leaderboard: the best points first, those that no other point beats in everything, then the points that were skipped or failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from miras_compiler.runs import RunFolder
from miras_compiler.store import write_file
from miras_compiler.sweep.grid import Grid
from miras_compiler.sweep.points import Point, label_of
from miras_compiler.sweep.queue import FAILED, MEASURED, SKIPPED, counting

COLUMNS = ("quality", "state_bytes", "tokens_per_second", "parameters", "loss")
DONE, RUNNING, WAITING = "done", "running", "waiting"


@dataclass(frozen=True)
class Standing:
    """A point. `values` by key as texts, `measured` by name, empty unless it is done; `front`: no other is better in all objectives."""

    point: str
    state: str
    values: Mapping[str, str]
    measured: Mapping[str, Any]
    reason: str = ""
    front: bool = False

    @property
    def label(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.values.items()) or "the base"


def leaderboard(study: optuna.Study, grid: Grid) -> list[Standing]:
    """All points that have a trial: those that are done by the first objective, then the others by number."""
    entries = [_entry(grid, index, trial) for index, trial in counting(study).items()]
    done = [entry for entry in entries if entry.state == DONE]
    done = [replace(entry, front=not any(_beats(grid, other, entry) for other in done)) for entry in done]
    done.sort(key=lambda entry: [-gain for gain in gains(grid, entry)])
    return [*done, *(entry for entry in entries if entry.state != DONE)]


def gains(grid: Grid, entry: Standing) -> list[float]:
    """The objectives, with signs that make more of each better."""
    return [(1 if grid.larger(name) else -1) * float(entry.measured[name]) for name in grid.objectives]


def front(grid: Grid, entries: Sequence[Standing], first: str, second: str) -> list[Standing]:
    """The points that no other beats in two measures, in the order of the first."""
    pair = replace(grid, objectives=(first, second))
    done = [entry for entry in entries if entry.state == DONE]
    best = [entry for entry in done if not any(_beats(pair, other, entry) for other in done)]
    return sorted(best, key=lambda entry: float(entry.measured[first]))


def write_csv(grid: Grid, entries: Sequence[Standing], path: Path) -> Path:
    """One row a point, with a rank for those that are done."""
    text = io.StringIO()
    keys = [axis.key for axis in grid.axes]
    seeds = [f"quality of seed {seed}" for seed in grid.seeds]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "point", "state", "front", *keys, *COLUMNS, *seeds, "reason"])
    for rank, entry in enumerate(entries, 1):
        done = entry.state == DONE
        measured = [entry.measured.get(name, "") for name in COLUMNS]
        own = entry.measured.get("qualities", [""] * len(seeds))
        cells = [rank if done else "", entry.point, entry.state, ("yes" if entry.front else "no") if done else ""]
        writer.writerow([*cells, *(entry.values.get(key, "") for key in keys), *measured, *own, entry.reason])
    return write_file(path, text.getvalue())


def progress(folder: Path, entry: Standing) -> str:
    """The progress of a point's run that is being tried here."""
    places = sorted((folder / "runs").glob(f"{entry.point}*"))
    rows = list(RunFolder(places[-1]).rows()) if places else []
    return f"step {rows[-1]['step']}, loss {rows[-1]['loss']:.3f}" if rows else "compiling"


def _entry(grid: Grid, index: int, trial: FrozenTrial) -> Standing:
    given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    values = {key: value if isinstance(value, str) else label_of({key: value}).partition("=")[2] for key, value in given.items()}
    ordered = {axis.key: values[axis.key] for axis in grid.axes if axis.key in values}
    attributes = trial.user_attrs
    name = Point(index, ordered).name
    if trial.state == TrialState.COMPLETE:
        return Standing(name, DONE, ordered, attributes[MEASURED])
    for why in (SKIPPED, FAILED):
        if why in attributes:
            return Standing(name, why, ordered, {}, attributes[why])
    return Standing(name, RUNNING if trial.state == TrialState.RUNNING else WAITING, ordered, {})


def _beats(grid: Grid, one: Standing, other: Standing) -> bool:
    """True if one is nowhere worse and somewhere better."""
    pairs = list(zip(gains(grid, one), gains(grid, other), strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
