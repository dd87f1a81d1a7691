"""Texts that a model goes on with: the tokens of `generate`, drawn alike from a seed, and characters that come whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch

from kit.model_package import language_model, tokens
from miras_compiler.evaluate.sample import choice, drawn
from miras_compiler.evaluate.tokens import ByteTokens, pieces

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model() -> Any:
    return language_model("gated_delta_net")


def test_at_temperature_0_the_tokens_are_those_of_generate(model: Any) -> None:
    prompt = tokens(1, 5)
    expected = model.generate(prompt, max_new_tokens=9, do_sample=False, pad_token_id=0)[0, 5:].tolist()
    assert list(drawn(model, prompt[0].tolist(), 9, 0.0, 0)) == expected


def test_a_seed_draws_the_same_tokens_and_another_seed_others(model: Any) -> None:
    once, again, other = (list(drawn(model, [1, 2], 20, 1.0, seed)) for seed in (3, 3, 4))
    assert once == again != other


def test_tokens_come_as_often_as_they_are_likely() -> None:
    logits, random = torch.tensor([0.0, 1.0, -1.0]), torch.Generator().manual_seed(0)
    for temperature in (0.5, 1.0):
        counts = torch.bincount(torch.tensor([choice(logits, temperature, random) for _ in range(4000)]), minlength=3)
        assert (counts / 4000).tolist() == pytest.approx((logits / temperature).softmax(-1).tolist(), abs=0.03)


def test_a_token_that_ends_the_text_is_not_part_of_it(model: Any) -> None:
    found = list(drawn(model, [1, 2], 6, 0.0, 0))
    model.config.eos_token_id = found[2]
    try:
        assert list(drawn(model, [1, 2], 6, 0.0, 0)) == found[: found.index(found[2])]
    finally:
        model.config.eos_token_id = None


def test_a_character_comes_with_its_last_byte() -> None:
    text = "aé€🙂b"
    found = list(pieces(ByteTokens(), ByteTokens().encode(text)))
    assert found == ["a", "", "é", "", "", "€", "", "", "", "🙂", "b"]


def test_bytes_that_are_no_character_do_not_hold_up_the_text() -> None:
    found = list(pieces(ByteTokens(), [*b"a", 0xFF, *b"b", 0xC3, *b"cde"]))
    assert "".join(found) == "a�b�cde"


def test_a_piece_comes_before_the_next_token_is_drawn() -> None:
    asked: list[int] = []

    def source() -> Iterator[int]:
        for token in b"abc":
            asked.append(token)
            yield token

    assert list(islice(pieces(ByteTokens(), source()), 2)) == ["a", "b"]
    assert asked == list(b"ab")
