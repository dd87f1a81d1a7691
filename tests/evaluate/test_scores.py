"""The numbers of an eval.json in words, and limits of the commands that read runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from miras_compiler.cli import main
from miras_compiler.evaluate.scores import number_text, words_of


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(2_000_000.0, 6, "2,000,000"), (37376, 4, "37,376"), (5.174553, 4, "5.175"), (0.0, 4, "0"), (1e-7, 4, "1e-07")],
)
def test_a_whole_number_is_written_in_full(value: float, digits: int, text: str) -> None:
    assert number_text(value, digits) == text


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ("text:a.txt.perplexity_by_position", ("text:a.txt", "perplexity", "position")),
        ("bits_per_byte_by_length", ("", "bits per byte", "length")),
        ("recall", ("", "recall", "")),
    ],
)
def test_the_name_of_a_curve_says_its_axes(curve: str, words: tuple[str, str, str]) -> None:
    assert words_of(curve) == words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sample", "--tokens", "0"], "--tokens must be at least 1, got 0"),
        (["sample", "--temperature", "-1"], "--temperature must be from 0, the likeliest token, to 100, got -1.0"),
        (["sample", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (["surprise", "--tokens", "0"], "--tokens must be at least 1, got 0"),
        (["surprise", "--seed", "-2"], "--seed must be at least 0, got -2"),
    ],
)
def test_a_number_out_of_its_range_is_named_with_its_limit(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *others = arguments
    assert main([command, str(tmp_path), *others]) == 2
    assert told in capsys.readouterr().err
