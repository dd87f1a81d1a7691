"""The readings as pictures: a table and a chart in the terminal, a PNG on disk."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from miras_compiler.demo.chart import bars, bin_means
from miras_compiler.demo.readings import MEASURES, PassageReading

HEIGHT = 8
BINS = 12  # columns of the chart per reading
TERMINAL_COLOUR = {False: "cyan", True: "yellow"}  # of a passage read before, of a fresh one
PICTURE_COLOUR = {False: "#2a78c8", True: "#d9822b"}
ERROR = MEASURES.index("‖e‖")


def table_of(readings: Sequence[PassageReading], length: int) -> Table:
    """One row per reading; the numbers of the one in progress are those of its tokens so far."""
    table = Table(title="Titans memory, means per reading", title_justify="left", title_style="bold")
    table.add_column("reading")
    table.add_column("bytes", justify="right")
    for measure in MEASURES:
        table.add_column(measure, justify="right")
    for reading in readings:
        tokens = len(reading.curve(ERROR))
        means = [reading.mean(index) for index in range(len(MEASURES))]
        numbers = ["" if mean is None else f"{mean:.3f}" for mean in means]
        table.add_row(reading.title, f"{tokens}/{length}" if tokens else "", *numbers, style=TERMINAL_COLOUR[reading.fresh])
    return table


def chart_of(readings: Sequence[PassageReading], length: int) -> Group:
    """‖e‖ along the readings, from left to right; a reading in progress fills its place as it goes."""
    columns: list[tuple[PassageReading, list[float]]] = []
    for reading in readings:
        curve = reading.curve(ERROR)
        columns.append((reading, bin_means(curve, BINS * len(curve) // length)))
    values = [value for _, bins in columns for value in bins]
    if not values:
        return Group()
    floor, ceiling = 0.0, max(values)
    drawn = [bars(bins, HEIGHT, floor, ceiling) for _, bins in columns]
    lines = [Text("‖e‖ of the bytes, in the order in which they were read", style="bold")]
    for row in range(HEIGHT):
        line = Text(f"{ceiling:5.2f} ┤" if row == 0 else "      │")
        for (reading, _), rows in zip(columns, drawn, strict=True):
            line.append(rows[row].ljust(BINS) + " ", style=TERMINAL_COLOUR[reading.fresh])
        lines.append(line)
    lines.append(Text(f"{floor:5.2f} └" + "─" * ((BINS + 1) * len(columns))))
    lines.append(Text("       " + "".join(reading.title[:BINS].ljust(BINS + 1) for reading, _ in columns)))
    return Group(*lines)


def draw_png(readings: Sequence[PassageReading]) -> bytes:
    """All three measures, token by token with their means per reading, as one picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(MEASURES), 1, sharex=True, figsize=(10, 7), constrained_layout=True)
    for index, (axis, measure) in enumerate(zip(axes, MEASURES, strict=True)):
        start = 0
        for reading in readings:
            curve, colour = reading.curve(index), PICTURE_COLOUR[reading.fresh]
            tokens = range(start, start + len(curve))
            axis.plot(tokens, curve, color=colour, alpha=0.25, linewidth=0.6)
            mean = sum(curve) / len(curve)
            axis.hlines(mean, tokens.start, tokens.stop, color=colour, linewidth=2.5)
            axis.annotate(f"{mean:.2f}", (start + len(curve) / 2, mean), (0, 4), textcoords="offset points", ha="center", color=colour)
            if start:
                axis.axvline(start, color="#bbbbbb", linewidth=0.8)
            if index == 0:
                axis.text(start + len(curve) / 2, 1.03, reading.title, transform=axis.get_xaxis_transform(), ha="center", color=colour)
            start += len(curve)
        axis.set_ylabel(measure, fontsize=13)
        axis.set_ylim(bottom=0)
        axis.margins(x=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("bytes read")
    figure.suptitle("A memory that learns while it reads: the generated Titans memory on English text")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    pyplot.close(figure)
    return png.getvalue()
