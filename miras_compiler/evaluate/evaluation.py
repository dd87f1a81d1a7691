"""`miras eval`: the measurements that a request asks for, as the sections of a run's eval.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from miras_compiler.data.series import read_channels, read_saved
from miras_compiler.data.windows import HELD_OUT, Windows
from miras_compiler.errors import InputError, check_least
from miras_compiler.evaluate.forecasting import Forecaster, forecast_errors, naive, naive2, season_of, seasonal_naive
from miras_compiler.evaluate.harness import evaluate_choices
from miras_compiler.evaluate.opened import OpenedModel
from miras_compiler.evaluate.recall import evaluate_task
from miras_compiler.evaluate.scores import ORIGIN
from miras_compiler.evaluate.stream import stream_text
from miras_compiler.evaluate.text import evaluate_text
from miras_compiler.evaluate.tokens import held_out, read_tokens, tokens_of
from miras_compiler.records import origin_here
from miras_compiler.tasks import build_task

LENGTH, PATCHES = 512, 32  # of a sequence, where neither the run nor the request says one: tokens, patches
MOST_NAMED = 3  # series in the name of a section
Say = Callable[[str], None]
Section = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class EvaluationRequest:
    """A request for measurements.

    `length` is that of a sequence in tokens (patches of values), None: that of training. `tokens` is the most of a text that is read.
    `stream` reads so many tokens as one sequence, 0: none. `rows` are the examples of each setting of a task. `season` is that of the
    seasonal forecast, None: the one that the series show. Raises InputError for values without a meaning.
    """

    data: tuple[Path, ...] = ()
    task: str | None = None
    choices: Path | None = None
    length: int | None = None
    tokens: int | None = None
    stream: int = 0
    rows: int = 128
    season: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"length": 2, "tokens": 2, "stream": 0, "rows": 1, "season": 1, "seed": 0}.items():
            check_least(f"--{name}", getattr(self, name), least)
        if self.data and self.task is not None:
            raise InputError("--data and --task measure different things; ask for one of them")


def evaluate(opened: OpenedModel, request: EvaluationRequest, say: Say = lambda _: None) -> dict[str, Any]:
    """Sections of eval.json by their names, such as "task:mqar" and "text:valid". InputError where the run does not allow it."""
    origin = origin_here(str(opened.device), request.seed)
    sections = dict(forecasts(opened, request, say) if opened.forecasts else answers(opened, request, say))
    for scores in sections.values():
        scores["checkpoint"] = opened.checkpoint.name
        scores[ORIGIN] = {"digest": opened.model.config.digest, **origin.as_dict()}
    return sections


def answers(opened: OpenedModel, request: EvaluationRequest, say: Say) -> Iterator[Section]:
    """The sections of a language model."""
    if request.season is not None:
        raise InputError(f"{opened.path}: --season is for series of values, and its model reads tokens; leave it out")
    task = request.task or (opened.about.get("task") if not (request.data or request.choices) else None)
    if task:
        for option, value in {"--stream": request.stream, "--tokens": request.tokens, "--length": request.length}.items():
            if value:
                raise InputError(f"{option} is for texts; a task has lengths of its own: --task {task.partition(',')[0]},length=…")
        own = build_task(task)
        yield f"task:{own.name}", evaluate_task(opened.model, own, request.rows, request.seed, say)
    elif request.data or (request.choices is None and opened.run.tokens.is_file()):
        yield from of_text(opened, request, say)
    elif request.choices is None:
        raise InputError(
            f"{opened.path}: there is nothing to measure it by; name a text with --data, a task with --task, or --choices FILE"
        )
    if request.choices is not None:
        say(f"questions of {request.choices}")
        yield f"choices:{request.choices.stem}", evaluate_choices(opened.model, tokens_of(opened), request.choices)


def of_text(opened: OpenedModel, request: EvaluationRequest, say: Say) -> Iterator[Section]:
    """A text, or the part of the run's own that training did not see: in sequences, and as one if that is asked for."""
    name = "+".join(path.name.removesuffix(path.suffix).partition(".txt")[0] for path in request.data) or "held_out"
    ids, size = read_tokens(opened, request.data) if request.data else held_out(opened)
    used = ids[: request.tokens]
    length = request.length or int(opened.about.get("length") or LENGTH)
    yield f"text:{name}", evaluate_text(opened.model, used, round(size * len(used) / len(ids)), length, say)
    if request.stream:
        yield f"stream:{name}", stream_text(opened.model, ids[: request.stream], size / len(ids), say)


def forecasts(opened: OpenedModel, request: EvaluationRequest, say: Say) -> Iterator[Section]:
    """The section of a model of values: its errors on the held-out part of series, beside those of naive forecasts."""
    config = opened.model.config
    for option, value in {"--task": request.task, "--choices": request.choices, "--stream": request.stream}.items():
        if value:
            raise InputError(f"{opened.path}: {option} is for language models, and its model forecasts values; name series with --data")
    saved = opened.run.series
    if not request.data and not saved.is_file():
        raise InputError(f"{opened.path}: there is nothing to measure it by; name series with --data")
    series = read_channels(request.data) if request.data else read_saved(saved)
    paths = [each.path for each in series]
    if len(series[0].channels) != config.channels:
        raise InputError(f"{paths[0]}: has {len(series[0].channels)} columns of numbers, and the model takes {config.channels}")
    context = config.patch * (request.length or int(opened.about.get("length") or PATCHES))
    windows = Windows(series, context, config.horizon, float(opened.about.get("hold_out", HELD_OUT)))
    season = request.season or season_of(windows)
    if season > context:
        remedy = f"set --length to {-(-season // config.patch)}"
        raise InputError(f"--season {season}: a forecast sees {context} times, less than one season; {remedy}")
    say(f"{len(windows.held_out()):,} forecasts of {config.horizon} times")
    forecasters = {
        "model": forecaster(opened), "naive": naive(config.horizon), "seasonal_naive": seasonal_naive(config.horizon, season),
        "naive2": naive2(windows, season),
    }  # fmt: skip
    scores: dict[str, Any] = dict(forecast_errors(windows, forecasters))
    name = "+".join(path.stem for path in paths) if len(paths) <= MOST_NAMED else f"{len(paths)} series"
    yield f"forecast:{name}", scores | {"season": season, "forecasts": len(windows.held_out())}


def forecaster(opened: OpenedModel) -> Forecaster:
    """The model as a forecaster."""
    model, device = opened.model, opened.device

    @torch.no_grad()
    def forecast(_: object, contexts: Any) -> Any:
        return model(torch.tensor(contexts, dtype=torch.float32, device=device)).forecasts.double().cpu().numpy()

    return forecast
