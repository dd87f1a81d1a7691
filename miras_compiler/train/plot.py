"""The learning curve as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miras_compiler.runs import RunFolder
from miras_compiler.store import write_file

SMOOTHED = 50  # the line over the points is a mean of a fiftieth of them


def plot_loss(run: RunFolder, title: str) -> Path:
    """Writes loss.png: the loss over the steps and, of more than a hundred points, its running mean."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in run.rows() if isinstance(row.get("loss"), int | float)]
    steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    window = len(losses) // SMOOTHED
    if window > 1:
        axes.plot(steps, losses, color="#9db7d5", linewidth=1, label="loss")
        axes.plot(steps, running_mean(losses, window), color="#1f4e8c", linewidth=1.8, label=f"mean of {window} points")
        axes.legend(frameon=False)
    else:
        axes.plot(steps, losses, color="#1f4e8c", linewidth=1.8)
    axes.set(xlabel="step", ylabel=f"loss, {'mean squared error' if run.series.is_file() else 'nats per predicted token'}", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return write_file(run.plot, picture.getvalue())


def running_mean(values: Sequence[Any], window: int) -> list[float]:
    """Of every value and those before it, `window` in all."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + float(value))
    return [(sums[end] - sums[max(0, end - window)]) / min(end, window) for end in range(1, len(sums))]
