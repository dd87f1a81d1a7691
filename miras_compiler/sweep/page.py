"""The leaderboard as one HTML file that loads nothing: Pareto plots, a table, and the points that were skipped or failed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import jinja2
import optuna

from miras_compiler.compare.plot import Axis, PlotLine, plot
from miras_compiler.store import write_file
from miras_compiler.sweep.axes import Choices
from miras_compiler.sweep.grid import Grid
from miras_compiler.sweep.leaderboard import COLUMNS, DONE, Standing, front, leaderboard, write_csv
from miras_compiler.version import __version__

CSV, PAGE = "leaderboard.csv", "leaderboard.html"
COLOURS = 8
AGAINST = {
    "state_bytes": "states of a sequence, bytes",
    "tokens_per_second": "tokens per second of training",
    "parameters": "parameters",
}  # fmt: skip


def write_leaderboard(study: optuna.Study, grid: Grid, folder: Path) -> list[Standing]:
    """The leaderboard of the points that are done so far, on disk as CSV and as a page."""
    entries = leaderboard(study, grid)
    write_csv(grid, entries, folder / CSV)
    write_file(folder / PAGE, page(grid, entries))
    return entries


def page(grid: Grid, entries: Sequence[Standing]) -> str:
    """HTML of a sweep."""
    done = [entry for entry in entries if entry.state == DONE]
    colours = _coloured_by(grid)
    holes = {
        "version": __version__,
        "grid": grid,
        "done": done,
        "others": [entry for entry in entries if entry.state not in (DONE, "waiting", "running")],
        "open": sum(entry.state in ("waiting", "running") for entry in entries),
        "keys": [axis.key for axis in grid.axes],
        "columns": COLUMNS,
        "quality": quality_name(grid),
        "larger": {name: grid.larger(name) for name in COLUMNS},
        "plots": [(said, _plot(grid, done, name, said)) for name, said in AGAINST.items()],
        "legend": list(enumerate(colours.texts[:COLOURS])) if colours else [],
        "coloured": colours.key if colours else "",
        "shown": shown,
    }
    return _environment().get_template("leaderboard.html.jinja").render(holes)


def quality_name(grid: Grid) -> str:
    """The name of the quality."""
    if any(spec.model.input is not None for spec in grid.bases.values()):
        return "mean square error of held-out forecasts"
    return "share of right answers to held-out examples" if grid.train.task else "bits per byte of held-out text"


def shown(name: str, value: float) -> str:
    """A measured number as a table has it."""
    return f"{value:,.0f}" if name in AGAINST else f"{value:.4f}"


def _plot(grid: Grid, done: Sequence[Standing], against: str, said: str) -> str:
    """Quality over another measure: a dot a point, and a line along the points that none beats in both."""
    colours = _coloured_by(grid)
    best = front(grid, done, against, "quality")
    line = PlotLine("the best of both", [_place(entry, against) for entry in best], None)
    dots = [
        PlotLine(f"{entry.point}: {entry.label}", [_place(entry, against)], _colour(colours, entry), dots=True) for entry in done
    ]  # fmt: skip
    return plot(f"quality over {said}", Axis(said, log=True), Axis(quality_name(grid), share=True), [line, *dots])


def _place(entry: Standing, against: str) -> tuple[float, float]:
    return float(entry.measured[against]), float(entry.measured["quality"])


def _coloured_by(grid: Grid) -> Choices | None:
    """The first key with choices: its values have colours."""
    return next((axis for axis in grid.choices if 1 < len(axis.values) <= COLOURS), None)


def _colour(axis: Choices | None, entry: Standing) -> int:
    return axis.texts.index(entry.values[axis.key]) if axis else 0


@functools.cache
def _environment() -> jinja2.Environment:
    """Templates of this stage, and the style sheet of `compare`."""
    loaders = [jinja2.PackageLoader(f"miras_compiler.{stage}") for stage in ("sweep", "compare")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
