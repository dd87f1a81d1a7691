"""A sequence of tokens that has to be said again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from miras_compiler.errors import InputError
from miras_compiler.tasks.base import Example, Setting, nothing_asked


@dataclass(frozen=True)
class Copy:
    """Tokens, blanks, a mark, then blanks in whose places the tokens are asked for, in their order.

    Defaults are those of MAD-lab's `generate_copying_instance` (athms/mad-lab, instances.py; arXiv 2403.17844): vocabulary 16 with blank
    and mark, 16 tokens to copy, length 256.
    """

    name: ClassVar[str] = "copy"
    selective: ClassVar[bool] = False  # whether blanks stand among the tokens to copy, or behind them

    vocab_size: int = 16
    items: int = 16
    length: int = 256

    def __post_init__(self) -> None:
        if self.vocab_size < 4 or self.items < 1:
            raise InputError(f"{self.name}: vocab_size must be at least 4 and items at least 1; the defaults are 16 and 16")
        if self.length <= 2 * self.items + 1:
            raise InputError(f"{self.name}: length {self.length} cannot hold {self.items} items twice; set at least {2 * self.items + 2}")

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length, self.items),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        items, length = setting.items, setting.length
        mark, blank = self.vocab_size - 1, self.vocab_size - 2
        copied = generator.integers(blank, size=items)
        room = length - items - 1  # tokens before the mark
        places = np.sort(generator.choice(room, size=items, replace=False)) if self.selective else np.arange(items)
        tokens = np.full(length + 1, blank)  # the last answer stands behind the last token
        tokens[places], tokens[room] = copied, mark
        labels, distance = nothing_asked(tokens)
        asked = np.arange(room + 2, room + 2 + items)
        labels[asked], distance[asked] = copied, asked - places
        return Example(tokens, labels, distance)
