"""The quality of trained models, from run folders: learning curves, scores, and scores over a distance or a length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from miras_compiler.compare.alignment import merged
from miras_compiler.compare.plot import Axis, PlotLine, plot
from miras_compiler.compare.subjects import Compared
from miras_compiler.evaluate.scores import Point, number_text, words_of

MEASURES = {"loss": "loss", "grad_norm": "norm of the gradient", "tokens_per_second": "tokens per second", "lr": "learning rate"}


MOST_POINTS = 400  # of a line; a longer one is thinned out evenly


class ScoreRow(NamedTuple):
    """A number of eval.json in every run, None where a run has no such number."""

    name: str
    values: tuple[float | None, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple("–" if value is None else number_text(value, 4) for value in self.values)


def run_plots(subjects: Sequence[Compared]) -> list[tuple[str, str]]:
    """Titles and plots: columns of metrics.jsonl over the steps, then the curves of eval.json."""
    runs = [(index, subject.label, subject.run) for index, subject in enumerate(subjects) if subject.run]
    found = []
    for measure, said in MEASURES.items():
        series = [PlotLine(label, thinned(run.learning(measure)), index) for index, label, run in runs]
        found.append((f"{said} over steps", plot(said, Axis("step"), Axis(said), series)))
    for name in merged([list(run.curves) for _, _, run in runs]):
        series = [PlotLine(label, thinned(run.curves[name]), index) for index, label, run in runs if name in run.curves]
        section, measure, over = words_of(name)
        said = f"{measure}{f' by {over}' if over else ''}{f', {section}' if section else ''}"
        found.append((said, plot(said, Axis(over, log=over != "step"), Axis(measure), series)))
    return [(title, picture) for title, picture in found if picture]


def thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Every n-th point, and the last one."""
    step = -(-len(points) // MOST_POINTS)
    return points if step < 2 else [*points[:-1:step], points[-1]]


def score_rows(subjects: Sequence[Compared]) -> list[ScoreRow]:
    scores = [subject.run.scores for subject in subjects if subject.run]
    return [ScoreRow(name, tuple(each.get(name) for each in scores)) for name in merged([list(each) for each in scores])]
