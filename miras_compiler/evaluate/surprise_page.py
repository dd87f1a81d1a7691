"""The surprise of a text as one HTML page that loads nothing, and as a plot."""

from __future__ import annotations

import functools
import io
import json
import math
from typing import Any

import jinja2

from miras_compiler.evaluate.surprise import MEASURES, TextSurprise
from miras_compiler.version import __version__

LAST_COLOUR = 0.85  # of the colour map: its yellow end cannot be seen on white
MOST_NUMBERS = 1_000_000  # on a page; of more, the page has means over heads


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("miras_compiler.evaluate"), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=True,
    )  # fmt: skip


def surprise_page(title: str, surprise: TextSurprise) -> str:
    """HTML: the text coloured by a measure, a heat map of layers and tokens, and the values of a chosen token."""
    tree = surprise.tree()
    measures = list(tree["measures"])
    numbers = sum(len(layer[name]) * len(layer[name][0]) for layer in tree["layers"] for name in measures)
    for layer in tree["layers"]:
        for name in measures:
            layer[name] = [short_row(row, together=numbers > MOST_NUMBERS) for row in layer[name]]
    heads = max(len(layer[name][0]) for layer in tree["layers"] for name in measures)
    return _environment().get_template("surprise.html.jinja").render(
        title=title, version=__version__, measures=measures, layers=[layer["layer"] for layer in tree["layers"]],
        heads=heads if heads > 1 else 0, data=json.dumps(tree, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    )  # fmt: skip


def short_row(row: list[float | None], *, together: bool) -> list[float | None]:
    """The values of a token's heads with four digits, or only their mean."""
    known = [x for x in row if x is not None]
    if together:
        row = [sum(known) / len(known) if known else None]
    return [None if x is None else float(f"{x:.4g}") for x in row]


def surprise_plot(title: str, surprise: TextSurprise) -> bytes:
    """PNG: a panel for each measure, a line for each layer, over the tokens; means over heads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measures = surprise.measures()
    figure, axes = pyplot.subplots(len(measures), 1, sharex=True, figsize=(10, 1.7 * len(measures)), constrained_layout=True, squeeze=False)
    colours: Any = pyplot.get_cmap("viridis")
    for axis, name in zip(axes[:, 0], measures, strict=True):
        for number, layer in enumerate(surprise.layers):
            values = [x if math.isfinite(x) else math.nan for x in layer.measures[name].mean(1).tolist()]
            colour = colours(LAST_COLOUR * number / max(len(surprise.layers) - 1, 1))
            axis.plot(range(len(values)), values, color=colour, linewidth=0.8, label=f"layer {layer.layer}")
        axis.set_ylabel(f"{name} {MEASURES[name].partition(',')[0]}")
        axis.margins(x=0)
        axis.ticklabel_format(useOffset=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("tokens")
    if len(surprise.layers) <= 8:
        axes[0, 0].legend(ncols=4, fontsize="small", frameon=False)
    figure.suptitle(title)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    pyplot.close(figure)
    return picture.getvalue()
