"""Induction heads: the token that followed a mark the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from miras_compiler.errors import InputError
from miras_compiler.tasks.base import Example, Setting, nothing_asked

LENGTHS = tuple(2**power for power in range(6, 15))  # of tests; Mamba's end at 2**20


@dataclass(frozen=True)
class Induction:
    """Random tokens with a mark somewhere; at the end the mark comes again, and the token that followed it is asked for.

    Defaults are those of Mamba (arXiv 2312.00752, section 4.1.2): vocabulary 16, training at length 256, testing at 2⁶, 2⁷, …; Mamba goes
    on to 2²⁰, here 2¹⁴ is the last unless `length` is set.
    """

    name: ClassVar[str] = "induction"

    vocab_size: int = 16
    length: int = 0  # 0: Mamba's

    def __post_init__(self) -> None:
        if self.vocab_size < 3:
            raise InputError(f"induction: vocab_size must be at least 3, got {self.vocab_size}; Mamba's is 16")
        if self.length and self.length < 4:
            raise InputError(f"induction: length must be at least 4, got {self.length}; Mamba's is 256")

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length or 256, 1),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training if self.length else tuple(Setting(length, 1) for length in LENGTHS)

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        mark = self.vocab_size - 1
        tokens = generator.integers(mark, size=setting.length + 1)  # the answer stands behind the last token
        place = int(generator.integers(setting.length - 2))
        tokens[[place, setting.length - 1]] = mark
        tokens[-1] = tokens[place + 1]
        labels, distance = nothing_asked(tokens)
        labels[-1], distance[-1] = tokens[-1], setting.length - place - 1
        return Example(tokens, labels, distance)
