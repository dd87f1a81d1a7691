"""The demo from beginning to end: packages, readings, verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from miras_compiler.demo.packages import MODELS, Built, build_package
from miras_compiler.demo.passages import load_passages
from miras_compiler.demo.projection import Projection
from miras_compiler.demo.reader import CHUNK, DIM, Reader
from miras_compiler.demo.readings import MEASURES, PassageReading, judge
from miras_compiler.demo.show import ERROR, chart_of, draw_png, table_of
from miras_compiler.emit.graph import NO_PICTURE, can_draw
from miras_compiler.store import write_file
from miras_compiler.verify import Finding

READINGS = 4
LENGTH = 512  # bytes of a passage to be predicted
SEED = 0


def run(console: Console, root: Path = Path()) -> int:
    """The demo; leaves `root`/generated and `root`/demo/titans_memory.png. The exit code is 1 if something did not hold."""
    console.print("[bold]1. Six specs, compiled to PyTorch and verified against independent oracles[/bold]\n")
    if not can_draw():
        console.print(f"[yellow]{NO_PICTURE}[/yellow]", highlight=False)
    built = build_packages(console, root)
    console.print(built_table(built))
    failed = [(package, row) for package in built for row in package.report.tried if not row.passed]
    for package, row in failed:
        console.print(f"[red]{package.compilation.spec.name}: {escape(f'{row.check}, {row.subject}: {row.note}')}[/red]")
    if failed:
        return 1

    passage, fresh = load_passages(LENGTH)
    console.print("\n[bold]2. English text through the generated Titans memory, one byte at a time[/bold]\n")
    console.print(f"It reads this {READINGS} times:     “{escape(beginning(passage))}…”", highlight=False)
    console.print(f"and then, as a control, this: “{escape(beginning(fresh))}…”\n", highlight=False)
    readings = read_aloud(console, Reader(root / "generated", SEED), passage, fresh)
    picture = write_file(root / "demo" / "titans_memory.png", draw_png(readings))
    console.print(f"\npicture: {escape(str(picture))}", highlight=False, soft_wrap=True)

    errors = [reading.mean(ERROR) or 0.0 for reading in readings]
    verdict = judge(errors[:READINGS], errors[READINGS])
    mark = "[bold green]It holds:[/bold green]" if verdict.holds else "[bold red]It does not hold:[/bold red]"
    console.print(f"{mark} {escape(verdict.sentence)}.", highlight=False)
    return 0 if verdict.holds else 1


def build_packages(console: Console, root: Path) -> list[Built]:
    """All six packages, with a progress bar in a terminal and a line per model elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    built = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(MODELS))
        for name in MODELS:
            bar.update(task, description=f"{name}: compiling")

            def show(row: Finding, name: str = name) -> None:
                bar.update(task, description=f"{name}: {escape(f'{row.check}, {row.subject}')}")

            built.append(build_package(name, root / "generated", show))
            bar.advance(task)
            if not console.is_terminal:
                console.print(f"{name}: {'verified' if built[-1].report.passed else 'FAILED'}", highlight=False)
    return built


def built_table(built: list[Built]) -> Table:
    """Model, parallel form, the state of its package, its checks, the seconds they took."""
    table = Table()
    for title in ("model", "parallel form", "package", "checks passed", "seconds"):
        table.add_column(title, justify="right" if title in ("checks passed", "seconds") else "left")
    for package in built:
        rows = package.report.tried
        name = package.compilation.spec.name
        state = "current" if package.was_current else "written"
        passed = sum(row.passed for row in rows)
        style = None if package.report.passed else "red"
        form = package.compilation.parallel_form.kind.replace("_", " ")
        table.add_row(name, form, state, f"{passed}/{len(rows)}", f"{package.seconds:.1f}", style=style)
    return table


def read_aloud(console: Console, reader: Reader, passage: bytes, fresh: bytes) -> list[PassageReading]:
    """READINGS readings of `passage` and one of `fresh`; table and chart grow in a terminal, elsewhere each reading prints a line."""
    titles = [f"reading {number}" for number in range(1, READINGS + 1)]
    readings = [*(PassageReading(title, fresh=False) for title in titles), PassageReading("fresh text", fresh=True)]
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for reading in readings:
            for _ in stream(reader, reading, fresh if reading.fresh else passage):
                if console.is_terminal:
                    live.update(shown(readings), refresh=True)
            if not console.is_terminal:
                numbers = ", ".join(f"{name} {reading.mean(index):.3f}" for index, name in enumerate(MEASURES))
                console.print(f"{reading.title}: {numbers}", highlight=False)
    console.print(shown(readings))
    return readings


def stream(reader: Reader, reading: PassageReading, passage: bytes) -> Iterator[None]:
    """Reads a passage, a chunk at a time; yields after each."""
    keys, values = Projection(DIM, SEED)(passage)
    for key, value in zip(torch.split(keys, CHUNK), torch.split(values, CHUNK), strict=True):
        reading.pieces.append(reader.read(key, value))
        yield


def shown(readings: list[PassageReading]) -> Group:
    return Group(table_of(readings, LENGTH), "", chart_of(readings, LENGTH))


def beginning(passage: bytes) -> str:
    return passage.decode(errors="replace")[:60]
