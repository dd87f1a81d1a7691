"""The recall of a model: the share of right answers to the examples of a task, by the number of items to keep and the time to keep them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from miras_compiler.errors import InputError
from miras_compiler.evaluate.losses import answers_at, rows_at_once
from miras_compiler.tasks import IGNORED, Task, draw_batch


class AnswerShares:
    """Right answers among all, by a number."""

    def __init__(self) -> None:
        self.right: dict[int, int] = defaultdict(int)
        self.all: dict[int, int] = defaultdict(int)

    def add(self, key: int, right: int, count: int) -> None:
        self.right[key] += right
        self.all[key] += count

    def by_key(self) -> dict[str, float]:
        return {str(key): self.right[key] / self.all[key] for key in sorted(self.all)}

    @property
    def share(self) -> float:
        return sum(self.right.values()) / max(sum(self.all.values()), 1)


def evaluate_task(
    model: Any, task: Task, rows: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:  # fmt: skip
    """`accuracy` over `rows` examples of each of the task's settings, of tokens and of whole examples, and of tokens `by_items` (pairs,
    needles, tokens to copy), `by_length` and `by_distance` (bins [2ⁿ, 2ⁿ⁺¹) of the tokens since the answer was shown).

    InputError if the task has other tokens than the model.
    """
    if task.vocab_size > model.config.vocab_size:
        raise InputError(
            f"{task.name} has {task.vocab_size} tokens, and the model {model.config.vocab_size}; "
            f"set --task {task.name},vocab_size={model.config.vocab_size}, or name a run that was trained on it"
        )
    device = next(model.parameters()).device
    items, lengths, distances, whole = AnswerShares(), AnswerShares(), AnswerShares(), AnswerShares()
    settings: dict[str, dict[str, float]] = {}
    for setting in task.testing:
        say(f"{task.name}: {setting.length} tokens, {setting.items} to keep")
        own = AnswerShares()
        step = rows_at_once(model, setting.length)
        for first in range(0, rows, step):
            example = draw_batch(task, seed, setting, min(step, rows - first), first=first)
            asked = example.labels != IGNORED
            asked[:, 0] = False  # nothing stands before it
            tokens = torch.from_numpy(example.tokens).to(device)
            answers = answers_at(model, tokens, torch.from_numpy(asked).to(device)).cpu().numpy()
            right = answers == example.labels[asked]
            own.add(0, int(right.sum()), right.size)
            row = np.nonzero(asked)[0]
            wrong = np.bincount(row[~right], minlength=len(asked))
            whole.add(0, int((wrong == 0).sum()), len(asked))
            for size, hits, count in binned(example.distance[asked], right):
                distances.add(size, hits, count)
        items.add(setting.items, own.right[0], own.all[0])
        lengths.add(setting.length, own.right[0], own.all[0])
        settings[f"{setting.length}_tokens_{setting.items}_items"] = {"accuracy": own.share}
    return {
        "accuracy": items.share,
        "whole_examples": whole.share,
        "accuracy_by_items": items.by_key(),
        "accuracy_by_length": lengths.by_key(),
        "accuracy_by_distance": distances.by_key(),
        "settings": settings,
    }


def binned(distance: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> Iterable[tuple[int, int, int]]:
    """The first distance of a bin, right answers, and answers; those whose answer was not shown are left out."""
    shown = distance > 0
    bins = 2 ** np.floor(np.log2(distance[shown])).astype(int)
    for size in np.unique(bins):
        yield int(size), int(right[shown][bins == size].sum()), int((bins == size).sum())
