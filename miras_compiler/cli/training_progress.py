"""The progress of a training run: a bar in a terminal, elsewhere twenty lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from miras_compiler.console import is_plain

LINES = 20  # of a run, where there is no terminal


@contextlib.contextmanager
def progress(doing: str, steps: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields a function that takes rows of a learning curve."""
    if is_plain(sys.stderr):
        told = 0

        def print_some(row: Mapping[str, Any]) -> None:
            nonlocal told
            step = int(row["step"])
            if step == steps or step * LINES // steps > told * LINES // steps:
                print(f"{doing}: step {step} of {steps}, {said(row)}", file=sys.stderr, flush=True)
            told = step

        yield print_some
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(doing), total=steps, said="")
        yield lambda row: bar.update(task, completed=int(row["step"]), said=escape(said(row)))


def said(row: Mapping[str, Any]) -> str:
    """A row in words: loss, tokens a second, and on a GPU the share of its peak."""
    share = row.get("share_of_peak")
    return f"loss {row['loss']:.4f}, {row['tokens_per_second']:,.0f} tokens/s" + (f", {share:.0%} of peak" if share is not None else "")
