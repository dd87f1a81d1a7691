"""Recall of pairs that were shown several times, some of them wrongly: the purpose of a robust attentional bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from miras_compiler.errors import InputError
from miras_compiler.tasks.base import Example, Setting, nothing_asked


@dataclass(frozen=True)
class NoisyRecall:
    """Every key is shown `shown` times, in random order, with its value, or with another one in a share `noise` of them; then the keys
    come once more, and the value that each was shown with most often is asked for.

    A task of our own, after the corrupted associations that MIRAS (arXiv 2504.13173, section 5.1) has robust biases for; the sizes are
    of the order of zoology's smallest setting. At most `shown` // 2 showings of a key are wrong, so the answer is unique.
    """

    name: ClassVar[str] = "noisy_recall"

    vocab_size: int = 256
    pairs: int = 8
    shown: int = 5
    noise: float = 0.2
    length: int = 0  # 0: just as long as is needed; else random tokens stand before

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.shown < 1 or not 0 <= self.noise < 0.5:
            raise InputError(
                "noisy_recall: pairs and shown must be at least 1, noise at least 0 and below 0.5; the defaults are 8, 5 and 0.2"
            )
        if self.vocab_size // 2 - 1 < self.pairs or self.vocab_size < 6:
            raise InputError(
                f"noisy_recall: vocab_size {self.vocab_size} has too few keys; set it to at least {max(6, 2 * self.pairs + 2)}"
            )
        if self.length and self.length < self._needed:
            raise InputError(
                f"noisy_recall: length {self.length} cannot hold {self.pairs} pairs; set at least {self._needed}, or fewer pairs"
            )

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length or self._needed, self.pairs),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training

    @property
    def _needed(self) -> int:
        return 2 * self.pairs * (self.shown + 1)

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        pairs, half = setting.items, self.vocab_size // 2
        keys = 1 + generator.choice(half - 1, size=pairs, replace=False)
        values = half + generator.integers(self.vocab_size - half, size=pairs)
        wrong = half + generator.integers(self.vocab_size - half, size=(pairs, self.shown))
        noisy = np.argsort(generator.random((pairs, self.shown)), axis=1) < np.minimum(
            generator.binomial(self.shown, self.noise, size=(pairs, 1)), (self.shown - 1) // 2
        )
        order = generator.permutation(pairs * self.shown)
        which, what = np.repeat(np.arange(pairs), self.shown)[order], np.where(noisy, wrong, values[:, None]).reshape(-1)[order]
        asked = generator.permutation(pairs)
        tokens = generator.integers(self.vocab_size, size=setting.length)
        start = setting.length - 2 * pairs * (self.shown + 1)
        end = start + 2 * pairs * self.shown
        tokens[start:end:2], tokens[start + 1 : end : 2], tokens[end::2] = keys[which], what, keys[asked]
        labels, distance = nothing_asked(tokens)
        labels[end + 1 :: 2] = values[asked]
        shown_right = [np.flatnonzero((which == each) & (what == values[each]))[-1] for each in asked]
        distance[end + 1 :: 2] = end + 1 + 2 * np.arange(pairs) - (start + 1 + 2 * np.array(shown_right))
        return Example(tokens, labels, distance)
