"""The base of tasks: examples of tokens and labels, at settings of more or less difficulty."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""The label of a token that nothing is asked of, as PyTorch's cross entropy has it."""

TRAINING, TESTING, ORDER = 1, 2, 3  # first numbers of the keys of generators, by their purpose

Tokens = NDArray[np.int64]


class Setting(NamedTuple):
    """A difficulty: `length` tokens, and how many `items` have to be remembered (pairs, needles, tokens to copy).

    Training draws settings in proportion to `weight`.
    """

    length: int
    items: int
    weight: float = 1.0


class Example(NamedTuple):
    """One sequence, or [B, T] arrays of several.

    `labels[t]` is the token that must be predicted from the tokens before t, −100 where nothing is asked: the labels of a causal language
    model of transformers, which shifts them itself. They need not be the tokens that follow. `distance[t]` is how many tokens before t the
    answer was last shown, 0 where nothing is asked or nothing was shown.
    """

    tokens: Tokens
    labels: Tokens
    distance: Tokens


@runtime_checkable
class Task(Protocol):
    """A family of examples. The same generator state gives the same example, on every machine."""

    name: ClassVar[str]

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary."""

    @property
    def training(self) -> tuple[Setting, ...]:
        """The settings that training draws from."""

    @property
    def testing(self) -> tuple[Setting, ...]:
        """The settings that are evaluated one by one."""

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        """One example of [T] arrays, T = `setting.length`, or one more where the last answer stands behind the last token.

        `training` gives the labels of training, where a publication trains on more tokens than it tests.
        """


def seeded(*key: int) -> np.random.Generator:
    """A generator of its own for a key, such as (TRAINING, seed, step, row): its draws depend on nothing that was drawn before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def draw_batch(task: Task, seed: int, setting: Setting, rows: int, *, first: int = 0) -> Example:
    """[B, T] arrays of test examples `first`, …, `first + rows − 1` of a seed at a setting; each depends on its number alone.

    They are drawn apart from those of training, whatever its seed.
    """
    key = (TESTING, seed, setting.length, setting.items)
    examples = [task.draw(seeded(*key, row), setting, training=False) for row in range(first, first + rows)]
    return Example(*(np.stack(each) for each in zip(*examples, strict=True)))


def training_setting(task: Task, generator: np.random.Generator) -> Setting:
    """One of the settings of training, in proportion to their weights."""
    settings = task.training
    weights = np.array([setting.weight for setting in settings])
    return settings[int(generator.choice(len(settings), p=weights / weights.sum()))]


def nothing_asked(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Labels and distances for tokens none of which is asked for."""
    return np.full_like(tokens, IGNORED), np.zeros_like(tokens)
