"""Tasks: every answer has been shown, and a seed determines everything."""

from __future__ import annotations

import numpy as np
import pytest

from miras_compiler.errors import InputError
from miras_compiler.tasks import IGNORED, TASKS, build_task, describe_task, draw_batch, seeded
from miras_compiler.tasks.base import training_setting

NAMES = sorted(TASKS)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_was_shown_where_its_distance_says(name: str) -> None:
    task = build_task(name)
    batch = draw_batch(task, 0, task.testing[0], 6)
    asked = batch.labels != IGNORED
    assert asked.any(axis=1).all()
    assert not asked[:, 0].any()
    assert (batch.distance[~asked] == 0).all()
    for row, place in np.argwhere(asked & (batch.distance > 0)):
        assert batch.tokens[row, place - batch.distance[row, place]] == batch.labels[row, place]
    assert bool((batch.distance > 0).any()) == (name != "mad:memorization")  # its table is in the weights


@pytest.mark.parametrize("name", NAMES)
def test_tokens_and_labels_are_of_the_vocabulary_and_as_long_as_the_setting(name: str) -> None:
    task = build_task(name)
    for training in (False, True):
        for setting in {*task.training, task.testing[0]}:
            example = task.draw(seeded(5), setting, training=training)
            assert example.tokens.dtype == example.labels.dtype == np.int64
            assert len(example.tokens) in (setting.length, setting.length + 1)
            assert 0 <= example.tokens.min() <= example.tokens.max() < task.vocab_size
            assert set(example.labels[example.labels != IGNORED]) <= set(range(task.vocab_size))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_and_a_number_say_which_example_it_is(name: str) -> None:
    task = build_task(name)
    setting = task.testing[0]
    whole = draw_batch(task, 3, setting, 4)
    again = draw_batch(task, 3, setting, 2, first=2)
    assert np.array_equal(whole.tokens[2:], again.tokens)
    assert not np.array_equal(whole.tokens, draw_batch(task, 4, setting, 4).tokens)


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_task_builds_it_again(name: str) -> None:
    task = build_task(name)
    assert build_task(describe_task(task)) == task


def test_mqar_asks_each_key_once_and_draws_the_settings_of_zoology_in_their_shares() -> None:
    task = build_task("mqar")
    assert task.vocab_size == 8192
    drawn = [training_setting(task, seeded(step)) for step in range(900)]
    assert {(each.length, each.items) for each in drawn} == {(64, 4), (128, 8), (256, 16), (256, 32), (256, 64)}
    assert 0.5 < sum(each.length == 64 for each in drawn) / len(drawn) < 0.61  # 5 of 9
    batch = draw_batch(task, 0, task.testing[3], 8)
    assert ((batch.labels != IGNORED).sum(axis=1) == 32).all()
    keys = np.take_along_axis(batch.tokens, np.argwhere(batch.labels != IGNORED).reshape(8, 32, 2)[..., 1] - 1, axis=1)
    assert (np.sort(keys, axis=1) == np.sort(batch.tokens[:, 0:64:2], axis=1)).all()


def test_noise_never_outvotes_the_answer() -> None:
    task = build_task("noisy_recall,noise=0.45,pairs=4,shown=4")
    batch = draw_batch(task, 0, task.testing[0], 40)
    wrong = 0
    for row in range(40):
        shown = batch.tokens[row, :32].reshape(-1, 2)
        for place in np.flatnonzero(batch.labels[row] != IGNORED):
            values = shown[shown[:, 0] == batch.tokens[row, place - 1], 1]
            right = int((values == batch.labels[row, place]).sum())
            assert right > len(values) - right
            wrong += len(values) - right
    assert wrong > 40


def test_a_needle_stands_anywhere_before_its_question() -> None:
    task = build_task("niah:number")
    batch = draw_batch(task, 0, task.testing[0], 60)
    distances = batch.distance.max(axis=1)
    assert distances.min() < 300 < 700 < distances.max()
    text = batch.tokens[0].astype(np.uint8).tobytes().decode()
    value = bytes(batch.labels[0][batch.labels[0] != IGNORED].astype(np.uint8)).decode()
    assert len(value) == 7
    assert text.count(value) == 2
    assert text.endswith(f"mentioned in the text? It is: {value}")


def test_mad_trains_recall_on_every_token_and_tests_it_on_keys_that_were_shown() -> None:
    for name in ("mad:in-context-recall", "mad:fuzzy-in-context-recall", "mad:noisy-in-context-recall"):
        task = build_task(name)
        training, testing = (task.draw(seeded(1), task.training[0], training=each) for each in (True, False))
        assert (training.labels[1:] == training.tokens[1:]).all()
        assert 0 < (testing.labels != IGNORED).mean() < 0.6


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mqra", "there is no task 'mqra'; did you mean 'mqar'?"),
        ("mad:compresion", "did you mean 'mad:compression'?"),
        ("mqar,pair=4", "'pair=4' sets no field of mqar; did you mean 'pairs'?"),
        ("mqar,pairs", "'pairs' sets no field of mqar"),
        ("mqar,pairs=four", "pairs must be an integer, got 'four'"),
        ("mqar,pairs=-1", "pairs must be at least 0"),
        ("mqar,pairs=40,length=64", "length 64 cannot hold 40 pairs and their queries; set an even length of at least 160"),
        ("mqar,vocab_size=6,pairs=4", "vocab_size 6 has 2 keys, fewer than 4 pairs; set vocab_size to at least 10"),
        ("niah:passkey,length=20", "length 20 cannot hold a needle"),
        ("copy,items=200", "length 256 cannot hold 200 items twice; set at least 402"),
        ("mad:memorization,length=7", "length must be even"),
        ("noisy_recall,noise=0.5", "noise at least 0 and below 0.5"),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_a_remedy(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        build_task(text)
    assert told in str(caught.value)
