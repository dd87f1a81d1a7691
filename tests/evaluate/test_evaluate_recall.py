"""Recall: shares of right answers, counted by hand on a model that knows a part of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kit.model_package import language_model, tokens
from miras_compiler.errors import InputError
from miras_compiler.evaluate import losses
from miras_compiler.evaluate.recall import evaluate_task
from miras_compiler.tasks import IGNORED, Example, Setting


class Knows(nn.Module):
    """Says after each token the token that it has learned for it."""

    def __init__(self, answers: dict[int, int], vocab_size: int = 16) -> None:
        super().__init__()
        table = torch.zeros(vocab_size, vocab_size)
        for token, answer in answers.items():
            table[token, answer] = 1
        self.table = nn.Parameter(table)
        self.config = SimpleNamespace(vocab_size=vocab_size, hidden_size=vocab_size)
        self.lm_head = nn.Identity()

    def model(self, tokens: Tensor, use_cache: bool) -> Any:
        return SimpleNamespace(last_hidden_state=self.table[tokens])


@dataclass(frozen=True)
class Pairs:
    """Token k asks for k + 8; examples are numbered by their generator's draws, so all are alike."""

    name: ClassVar[str] = "pairs"
    vocab_size: int = 16
    training: ClassVar[tuple[Setting, ...]] = ()
    testing: ClassVar[tuple[Setting, ...]] = (Setting(4, 1), Setting(6, 2))

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        labels = np.full(setting.length, IGNORED)
        distance = np.zeros(setting.length, np.int64)
        tokens = np.zeros(setting.length, np.int64)
        tokens[0] = 1
        tokens[1] = 2
        labels[0] = 5  # nothing stands before it
        labels[1], distance[1] = 9, 3
        if setting.items == 2:
            labels[2], distance[2] = 10, 4
        return Example(tokens, labels, distance)


def test_shares_of_right_answers_are_counted_by_what_is_kept_and_for_how_long() -> None:
    scores = evaluate_task(Knows({1: 9, 2: 3}), Pairs(), 5, 0)
    assert scores["accuracy"] == pytest.approx(10 / 15)
    assert scores["whole_examples"] == 0.5
    assert scores["accuracy_by_items"] == {"1": 1.0, "2": 0.5}
    assert scores["accuracy_by_length"] == {"4": 1.0, "6": 0.5}
    assert scores["accuracy_by_distance"] == {"2": 1.0, "4": 0.0}
    assert scores["settings"]["6_tokens_2_items"] == {"accuracy": 0.5}


def test_a_task_with_more_tokens_than_the_model_is_refused() -> None:
    with pytest.raises(InputError, match="pairs has 16 tokens, and the model 12"):
        evaluate_task(Knows({}, 12), Pairs(), 5, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm"])
def test_a_long_example_is_read_segment_by_segment_with_the_answers_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = language_model(name), tokens(3, 43)
    asked = torch.rand(ids.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    asked[:, 0] = False
    expected = losses.answers_at(model, ids, asked)
    lengths = []
    model.model.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    monkeypatch.setattr(losses, "SEGMENT", 8)
    assert torch.equal(losses.answers_at(model, ids, asked), expected)
    assert lengths == [8, 8, 8, 8, 8, 2]
    assert losses.rows_at_once(model, 43) == losses.rows_at_once(model, 8), "memory does not grow with the length"


@pytest.mark.slow
def test_a_model_of_attention_reads_a_long_example_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "SEGMENT", 8)
    assert not losses.is_streamed(language_model("transformer"), 43)
