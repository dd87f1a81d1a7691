"""Multi-query associative recall (Zoology, arXiv 2312.04927): pairs of keys and values, then some of the keys again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from miras_compiler.errors import InputError
from miras_compiler.tasks.base import Example, Setting, nothing_asked

TRAINING = (Setting(64, 4, 5.0), Setting(128, 8), Setting(256, 16), Setting(256, 32), Setting(256, 64))
TESTING = (
    Setting(64, 4), Setting(64, 8), Setting(64, 16), Setting(128, 32), Setting(256, 64), Setting(512, 128), Setting(1024, 256),
)  # fmt: skip


@dataclass(frozen=True)
class Mqar:
    """Each key stands once before its value; after all pairs every key comes once more, among random tokens, and its value is asked for.

    Defaults are those of HazyResearch/zoology, `multiquery_ar.py` and the configurations of figure 2 of Based (arXiv 2402.18668):
    vocabulary 8192, training at (length, pairs) (64, 4) five times as often as each of (128, 8), (256, 16), (256, 32), (256, 64), testing
    up to (1024, 256). Gaps before a query follow a power law of exponent `power` − 1; random tokens stand between queries. Keys are tokens
    1 … vocab_size/2 − 1, values the upper half.
    """

    name: ClassVar[str] = "mqar"

    vocab_size: int = 8192
    pairs: int = 0  # 0: those of zoology
    length: int = 0  # 0: those of zoology; with `pairs` alone, 4 · pairs or 64
    power: float = 0.01

    def __post_init__(self) -> None:
        for setting in self.training + (self.testing if self.pairs or self.length else ()):
            if setting.length < 4 * setting.items or setting.length % 2:
                raise InputError(
                    f"mqar: length {setting.length} cannot hold {setting.items} pairs and their queries; "
                    f"set an even length of at least {4 * setting.items}"
                )
            if self.vocab_size // 2 <= setting.items:
                raise InputError(
                    f"mqar: vocab_size {self.vocab_size} has {self.vocab_size // 2 - 1} keys, fewer than {setting.items} pairs; "
                    f"set vocab_size to at least {2 * setting.items + 2}, or fewer pairs"
                )
        if not self.power > 0:
            raise InputError(f"mqar: power must be above 0, got {self.power}; zoology's is 0.01")

    @property
    def training(self) -> tuple[Setting, ...]:
        return self._asked() or TRAINING

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self._asked() or tuple(setting for setting in TESTING if 2 * setting.items + 2 <= self.vocab_size)

    def _asked(self) -> tuple[Setting, ...]:
        """The one setting that fields name; () for those of zoology."""
        if not (self.pairs or self.length):
            return ()
        pairs = self.pairs or max(1, self.length // 16)
        return (Setting(self.length or max(64, 4 * pairs), pairs),)

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        pairs, length = setting.items, setting.length
        half = self.vocab_size // 2
        keys = 1 + generator.choice(half - 1, size=pairs, replace=False)
        values = half + generator.choice(self.vocab_size - half, size=pairs, replace=False)
        space = (length - 2 * pairs) // 2
        odds = np.arange(1, space + 1, dtype=np.float64) ** (self.power - 1)
        places = 2 * pairs + 2 * generator.choice(space, size=pairs, replace=False, p=odds / odds.sum())
        tokens = generator.integers(self.vocab_size, size=length)
        tokens[0 : 2 * pairs : 2], tokens[1 : 2 * pairs : 2], tokens[places] = keys, values, keys
        labels, distance = nothing_asked(tokens)
        labels[places + 1] = values
        distance[places + 1] = places - 2 * np.arange(pairs)
        return Example(tokens, labels, distance)
