"""The sources of training sequences. The rows of a step depend on its number alone, so a run can begin at any step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.windows import Windows
from miras_compiler.errors import InputError
from miras_compiler.tasks.base import IGNORED, ORDER, TRAINING, Setting, Task, seeded, training_setting

Row = Mapping[str, NDArray[Any]]


class RowSource(Protocol):
    """Rows of batches, as the arguments of a model's forward pass by name, each without the axis of the batch."""

    def row(self, step: int, row: int) -> Row:
        """Row `row` of the batch of step `step`, both from 0. Rows of a step have one length."""

    def tokens(self, step: int) -> int:
        """Tokens of a row of step `step`."""


@dataclass(frozen=True)
class TaskSource:
    """Examples of a task: a setting a step, drawn in proportion to the settings' weights."""

    task: Task
    seed: int

    def row(self, step: int, row: int) -> Row:
        example = self.task.draw(seeded(TRAINING, self.seed, step, 1 + row), self._setting(step), training=True)
        return {"input_ids": example.tokens, "labels": example.labels}

    def tokens(self, step: int) -> int:
        return self._setting(step).length

    def _setting(self, step: int) -> Setting:
        return training_setting(self.task, seeded(TRAINING, self.seed, step, 0))


@dataclass(frozen=True)
class TokenSource:
    """Sequences of `length` tokens cut out of the first `end` ones of a long array, each once in an epoch, in an order of its own.

    Sequences begin at multiples of `length`; an end too short for one is left out. The array is a file that all processes map.
    """

    file: Path
    end: int
    length: int
    batch: int
    seed: int

    def row(self, step: int, row: int) -> Row:
        sequences = self.end // self.length
        epoch, number = divmod(step * self.batch + row, sequences)
        start = self.length * int(order(self.seed, epoch, sequences)[number])
        tokens = mapped(self.file)[start : start + self.length].astype(np.int64)
        labels = tokens.copy()
        labels[0] = IGNORED
        return {"input_ids": tokens, "labels": labels}

    def tokens(self, step: int) -> int:
        return self.length


class ValuesSource:
    """Windows of series: `length` patches that are seen, and the values that follow; each window once in an epoch, as sequences are."""

    def __init__(self, windows: Windows, length: int, batch: int, seed: int) -> None:
        self.windows, self.length, self.batch, self.seed = windows, length, batch, seed
        self.places = windows.training()

    def row(self, step: int, row: int) -> Row:
        epoch, number = divmod(step * self.batch + row, len(self.places))
        window = self.windows.window(self.places[int(order(self.seed, epoch, len(self.places))[number])])
        return {"values": window.context.astype(np.float32), "labels": window.future.astype(np.float32)}

    def tokens(self, step: int) -> int:
        return self.length


@lru_cache(2)
def order(seed: int, epoch: int, sequences: int) -> NDArray[np.int64]:
    """The order of the sequences in an epoch."""
    return seeded(ORDER, seed, epoch).permutation(sequences)


@lru_cache(4)
def mapped(file: Path) -> NDArray[Any]:
    """An array of tokens in a file; InputError where the file holds none."""
    try:
        stream: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: the tokens of the run cannot be read: {error}; train it again") from None
    return stream
