"""Losses of texts: those of transformers, bits per byte, positions, and one long sequence in segments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from kit.model_package import language_model, tokens
from miras_compiler.errors import InputError
from miras_compiler.evaluate.losses import next_token_losses
from miras_compiler.evaluate.stream import segments, stream_text
from miras_compiler.evaluate.text import ByPosition, evaluate_text

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model() -> Any:
    return language_model("gated_delta_net")


def loss_of_transformers(model: Any, rows: torch.Tensor) -> float:
    """The mean over all tokens but the first of each row."""
    with torch.no_grad():
        return float(model(rows, labels=rows).loss)


@pytest.mark.slow
def test_losses_are_those_of_the_language_model(model: Any) -> None:
    rows = tokens(3, 11)
    losses = next_token_losses(model, rows)
    assert losses.shape == (3, 10)
    assert float(losses.mean()) == pytest.approx(loss_of_transformers(model, rows), rel=1e-6)  # transformers computes it in float32


def test_bits_per_byte_are_bits_per_token_times_tokens_per_byte(model: Any) -> None:
    stream = tokens(1, 70)[0]
    scores = evaluate_text(model, stream.tolist(), 210, 16)
    nats = loss_of_transformers(model, stream[:64].reshape(4, 16))
    assert scores["bits_per_byte"] == pytest.approx(nats / math.log(2) / 3)
    assert scores["perplexity"] == pytest.approx(math.exp(nats))
    assert (scores["tokens"], scores["bytes"], scores["length"]) == (70, 210, 16)


def test_longer_sequences_than_those_of_training_are_tried_as_far_as_the_text_goes(model: Any) -> None:
    stream = tokens(1, 70)[0]
    found = evaluate_text(model, stream.tolist(), 70, 16)["extrapolation"]["bits_per_byte_by_length"]
    assert list(found) == ["16", "32", "64"]
    for length in (16, 32, 64):
        rows = stream[: 70 // length * length].reshape(-1, length)
        assert found[str(length)] == pytest.approx(loss_of_transformers(model, rows) / math.log(2))


def test_positions_count_the_tokens_before() -> None:
    sums = ByPosition()
    sums.add(np.array([[1.0, 2.0, 4.0, 6.0], [3.0, 4.0, 6.0, 8.0]]), 1)  # positions 1, 2, 3, 4
    sums.add(np.array([[5.0]]), 7)
    assert sums.perplexities() == {"1": math.exp(2), "2": math.exp(4), "4": pytest.approx(math.exp(19 / 3))}
    assert sums.mean() == pytest.approx(39 / 9)


def test_a_text_shorter_than_a_sequence_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match="the text has 15 tokens, fewer than a sequence of 16"):
        evaluate_text(model, [1] * 15, 15, 16)


def test_losses_that_are_no_numbers_are_refused(model: Any) -> None:
    weight = model.model.norm.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(torch.nan)
        with pytest.raises(InputError, match="losses are not numbers"):
            evaluate_text(model, [1] * 32, 32, 16)
    finally:
        with torch.no_grad():
            weight.copy_(kept)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [("gated_delta_net", {}), ("gated_delta_net", {"wiring": "mag", "persistent": 2, "attention": "{heads: 2, window: 5}"})],
)
def test_a_stream_in_segments_is_one_sequence_at_constant_memory(name: str, settings: dict[str, object]) -> None:
    model, row = language_model(name, None, **settings), tokens(1, 41)
    found = list(segments(model, row[0], 7, torch.device("cpu")))
    torch.testing.assert_close(torch.cat([losses for losses, _ in found]), next_token_losses(model, row)[0], rtol=1e-9, atol=1e-10)
    sizes = [size for _, size in found]
    assert len(set(sizes[1:])) == 1  # after the first segment the window is full
    scores = stream_text(model, row[0].tolist(), 2.0, segment=7)
    nats = float(next_token_losses(model, row).mean())
    assert scores["bits_per_byte"] == pytest.approx(nats / math.log(2) / 2)
    assert scores["cache_bytes"] == scores["largest_cache_bytes"] == sizes[-1] > 0
    assert list(scores["perplexity_by_position"]) == ["1", "2", "4", "8", "16", "32"]


def test_a_cache_that_grows_is_not_streamed() -> None:
    hybrid = language_model("gated_delta_net", pattern="[memory, attention]")
    with pytest.raises(InputError, match="its cache grows with every token"):
        stream_text(hybrid, [1] * 8, 1.0)
