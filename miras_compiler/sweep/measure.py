"""The measures of a point: its quality, the size of its state, its speed in training, its parameters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from miras_compiler.compiler import Compilation
from miras_compiler.runs import RunFolder
from miras_compiler.tasks import build_task

STATE = "state"  # the line of the cost, in bytes a head
QUALITIES = ("accuracy", "bits_per_byte")
KEPT = 4  # bytes of a channel of a key or a value that attention keeps, float32 as the states


class Measured(NamedTuple):
    """`quality` is the mean over seeds of `qualities`; `state_bytes` of one sequence, `tokens_per_second` in training."""

    quality: float
    qualities: tuple[float, ...]
    loss: float
    state_bytes: int
    tokens_per_second: float
    parameters: int


def measure(compilation: Compilation, runs: Sequence[RunFolder]) -> Measured:
    """Of the runs of a point, one a seed."""
    qualities = tuple(quality(run) for run in runs)
    return Measured(
        statistics.fmean(qualities),
        qualities,
        statistics.fmean(last_loss(run) for run in runs),
        state_bytes(compilation, longest(runs[0])),
        statistics.median(speed(run) for run in runs),
        count_parameters(runs[0]),
    )


def quality(run: RunFolder) -> float:
    """The quality of a run on held-out data: the share of right answers to a task, bits per byte of a text, the mean square
    error of forecasts. Writes eval.json."""
    from miras_compiler.evaluate.evaluation import EvaluationRequest, evaluate
    from miras_compiler.evaluate.opened import open_run

    sections = evaluate(open_run(run.path), EvaluationRequest())
    run.write_evaluation(sections)
    scores = next(iter(sections.values()))
    return float(scores["model"]["mse"] if "model" in scores else next(scores[name] for name in QUALITIES if name in scores))


def last_loss(run: RunFolder) -> float:
    """Nats per predicted token, over the last tenth of the steps."""
    losses = [float(row["loss"]) for row in run.rows()]
    return statistics.fmean(losses[-max(1, len(losses) // 10) :])


def speed(run: RunFolder) -> float:
    """Tokens per second of training: the median of the second half, where everything is warm."""
    speeds = [float(row["tokens_per_second"]) for row in run.rows()]
    return statistics.median(speeds[len(speeds) // 2 :])


def count_parameters(run: RunFolder) -> int:
    """Of the model that was trained."""
    from safetensors import safe_open

    with safe_open(run.newest_checkpoint() / "model.safetensors", "pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


def state_bytes(compilation: Compilation, length: int) -> int:
    """The states of all blocks, and the keys and values that attention keeps of a sequence of `length` tokens."""
    spec = compilation.spec
    model = spec.model
    memory = spec.model_heads * spec.layer.groups * next(line.value for line in compilation.cost if line.what == STATE)
    kept = {"attention": length, "window": min(length, model.attention.window)}
    total = 0.0
    for block in range(model.layers):
        kind = model.pattern[block % len(model.pattern)]
        total += memory if kind == "memory" else 2 * KEPT * model.hidden_size * kept[kind]
    return round(total)


def longest(run: RunFolder) -> int:
    """The tokens of the longest sequence that the run's own measure has."""
    about = run.about()
    if about.get("task") is None:
        return int(about["length"])
    return max(setting.length for setting in build_task(about["task"]).testing)
