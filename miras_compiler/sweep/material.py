"""The data that a point is trained on, and its spec with the vocabulary of these data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.spec import Spec
from miras_compiler.sweep.grid import Grid, Training
from miras_compiler.sweep.variant import training, variant
from miras_compiler.train.data import Data, file_data, series_data, task_data, with_vocabulary
from miras_compiler.train.settings import TrainSettings

VOCABULARY = "model.vocab_size"


class Material(NamedTuple):
    """A point, ready to be compiled and trained."""

    spec: Spec
    train: Training
    data: Data


def material(grid: Grid, values: Mapping[str, Any]) -> Material:
    """SpecError where the point is no spec, InputError where its data cannot be read."""
    spec, train = variant(grid, values), training(grid, values)
    settings = TrainSettings(**train.settings())
    if spec.model.input is not None:
        given = {"data": [str(path) for path in grid.data()], **({"task": train.task} if train.task else {})}
        return Material(spec, train, series_data(given, spec.model.input.patch, spec.model.input.horizon, settings))
    if train.task is not None:
        data = task_data(train.task, settings)
    else:
        data = _text(tuple(grid.data()), train.tokenizer, settings.length, settings.hold_out)
    if VOCABULARY in values and spec.model.vocab_size:
        return Material(spec, train, with_vocabulary(data, spec.model.vocab_size))
    return Material(variant(grid, {**values, VOCABULARY: data.about["config"]["vocab_size"]}), train, data)


@lru_cache(1)
def _text(paths: tuple[Path, ...], tokenizer: str | None, length: int | None, hold_out: float) -> Data:
    """A text in tokens: read, and its tokenizer trained, once for the points of a worker."""
    return file_data(paths, tokenizer, TrainSettings(length=length, hold_out=hold_out))
