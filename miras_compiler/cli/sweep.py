"""`miras sweep`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from miras_compiler.cli.libraries import prepare_libraries
from miras_compiler.console import PrintedRow, busy, is_plain, show_table

if TYPE_CHECKING:
    from miras_compiler.sweep.grid import Grid
    from miras_compiler.sweep.leaderboard import Standing

SHOWN = 20  # rows of the live table


def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID", help="A grid: base, vary, seeds, train, budget, objectives.", show_default=False)],
    workers: Annotated[
        int, typer.Option("--workers", metavar="NUMBER", help="Processes that try points; one GPU each, where there are.")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="A database that workers on many machines share. Default: a journal in the folder.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The sweep's folder.")] = Path("sweep"),
) -> None:
    """Search the design space: compile, verify, train and measure every point of a grid.

    Points that are no spec are skipped with their reason. The folder gets a run for each point, leaderboard.csv and leaderboard.html.

    The same command goes on where it was killed or interrupted; a run that was being trained goes on from its newest checkpoint.
    """
    prepare_libraries("sweep")
    from miras_compiler.errors import CheckFailed, check_least
    from miras_compiler.sweep.grid import load_grid
    from miras_compiler.sweep.page import CSV, PAGE, write_leaderboard  # before the workers: an interrupt then has nothing to import
    from miras_compiler.sweep.supervisor import begin, run
    from miras_compiler.sweep.worker import SweepJob, shares

    check_least("--workers", workers, 1)
    read = load_grid(grid)
    place = output.resolve()
    words = ["miras", "sweep", str(grid), "--workers", str(workers), "-o", str(output)]
    with busy("listing the points"):
        study = begin(read, output, storage, shlex.join(words))
    deadline = time.time() + 60 * (read.budget.minutes or 1e9)
    job = SweepJob(read, place, storage, deadline, *shares(read, workers, os.cpu_count() or 1))
    try:
        with _watching(study, read, place) as watch:
            run(study, job, workers, watch)
    finally:
        entries = write_leaderboard(study, read, output)
    _show(read, entries)
    if all(entry.state in ("skipped", "failed") for entry in entries):
        raise CheckFailed(f"{output}: no point came to its end; {CSV} says why")
    print(f"wrote {output}: {CSV}, {PAGE}, runs of {sum(entry.state == 'done' for entry in entries)} points")


def _show(grid: Grid, entries: Sequence[Standing]) -> None:
    """The leaderboard, and below it the points that were skipped or failed."""
    from miras_compiler.sweep.leaderboard import COLUMNS, DONE
    from miras_compiler.sweep.page import shown

    keys = [axis.key for axis in grid.axes]
    done = [entry for entry in entries if entry.state == DONE]
    rows = [
        PrintedRow((
            f"{rank}{' ◆' if entry.front else ''}",
            entry.point,
            *(entry.values[key] for key in keys),
            *(shown(name, entry.measured[name]) for name in COLUMNS),
        ))
        for rank, entry in enumerate(done, 1)
    ]  # fmt: skip
    arrows = [f"{name.replace('_', ' ')} {'↑' if grid.larger(name) else '↓'}" for name in COLUMNS]
    show_table(
        f"{grid.place}: {len(done)} points, ◆ where none is better in {' and '.join(grid.objectives)}",
        ("rank", "point", *keys, *arrows),
        rows,
    )
    nothing = [
        PrintedRow((entry.point, entry.state, entry.label), False, entry.reason)
        for entry in entries
        if entry.state in ("skipped", "failed")
    ]
    if nothing:
        show_table("skipped and failed", ("point", "", "values"), nothing)
    rest = sum(entry.state in ("waiting", "running") for entry in entries)
    if rest:
        print(f"{rest} points are not done; the same command goes on")


@contextlib.contextmanager
def _watching(study: Any, grid: Grid, folder: Path) -> Iterator[Callable[[], None]]:
    """Yields a function that shows how things stand: a table in a terminal, elsewhere a line for every point that ends, on stderr."""
    from miras_compiler.sweep.leaderboard import leaderboard

    if is_plain(sys.stderr):
        told = {entry.point for entry in leaderboard(study, grid) if entry.state not in ("waiting", "running")}

        def tell() -> None:
            entries = leaderboard(study, grid)
            for entry in entries:
                if entry.point not in told and entry.state not in ("waiting", "running"):
                    told.add(entry.point)
                    print(f"{len(told)} of {len(entries)}: {entry.point} ({entry.label}): {_outcome(entry)}", file=sys.stderr, flush=True)

        yield tell
        tell()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda: live.update(_table(leaderboard(study, grid), folder))


def _table(entries: Sequence[Standing], folder: Path) -> Any:
    """The points that are being tried, and the best so far."""
    from rich.table import Table
    from rich.text import Text

    from miras_compiler.sweep.leaderboard import DONE, RUNNING, progress

    counts = {state: sum(entry.state == state for entry in entries) for state in (DONE, RUNNING, "waiting", "skipped", "failed")}
    table = Table(title=", ".join(f"{count} {state}" for state, count in counts.items() if count), title_justify="left")
    for name in ("point", "values", "state", "what came of it"):
        table.add_column(name)
    running = [entry for entry in entries if entry.state == RUNNING]
    done = [entry for entry in entries if entry.state == DONE]
    for entry in [*running, *done][:SHOWN]:
        said = progress(folder, entry) if entry.state == RUNNING else _outcome(entry)
        table.add_row(entry.point, Text(entry.label), entry.state, Text(said), style="bold" if entry.front else "")
    return table


def _outcome(entry: Standing) -> str:
    from miras_compiler.sweep.leaderboard import DONE
    from miras_compiler.sweep.page import shown

    if entry.state != DONE:
        return f"{entry.state}: {' '.join(entry.reason.splitlines()[:1])}"
    return ", ".join(
        f"{name.replace('_', ' ')} {shown(name, entry.measured[name])}" for name in ("quality", "state_bytes", "tokens_per_second")
    )
