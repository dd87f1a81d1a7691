"""A picture of the curves of eval.json."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from miras_compiler.evaluate.scores import scores_of, words_of


def evaluation_plot(title: str, sections: Mapping[str, Any]) -> bytes | None:
    """PNG: a panel for each measure that has curves, a line for each section that has it; None if there is none."""
    curves = scores_of(sections).curves
    measures = list(dict.fromkeys(name.rpartition(".")[2] for name in curves))
    if not measures:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(measures), 1, figsize=(8, 3 * len(measures)), constrained_layout=True, squeeze=False)
    for axis, measure in zip(axes[:, 0], measures, strict=True):
        for name, points in curves.items():
            if name.rpartition(".")[2] == measure:
                axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=words_of(name).section)
        _, what, over = words_of(measure)
        axis.set_ylabel(what)
        axis.set_xlabel(over)
        if over != "step":
            axis.set_xscale("log", base=2)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize="small", frameon=False)
    figure.suptitle(title)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    pyplot.close(figure)
    return picture.getvalue()
