"""The six tasks of MAD (arXiv 2403.17844), after athms/mad-lab: mad/data/instances.py and configs/tasks/.

MAD's models predict the target of a token at that token; here a label stands one token later, as causal language models have it. For the
recall tasks MAD trains on every next token, and tests on values of keys that were shown before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from miras_compiler.errors import InputError
from miras_compiler.tasks.base import IGNORED, Example, Setting, Tokens, nothing_asked
from miras_compiler.tasks.copying import Copy

MAP_SEED = 12345  # of the fixed table of memorization, mad-lab's


@dataclass(frozen=True)
class InContextRecall:
    """Keys and values in turn; a key has one value within a sequence, and a value is asked for when its key comes again.

    The lower half of the vocabulary are keys. Vocabulary 16, length 128, as mad-lab's baseline. Keys come with replacement; the last pair
    is of a key that was shown.
    """

    name: ClassVar[str] = "mad:in-context-recall"
    noise_vocab: ClassVar[int] = 0
    noise: ClassVar[float] = 0.0

    vocab_size: int = 16
    length: int = 128

    def __post_init__(self) -> None:
        check_sizes(self.name, self.vocab_size - self.noise_vocab, self.length, least=4, shortest=4)

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length, (self.vocab_size - self.noise_vocab) // 2),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        pairs, signs = setting.length // 2, self.vocab_size - self.noise_vocab
        keys = generator.integers(signs // 2, size=pairs)
        table = generator.integers(signs // 2, signs, size=signs // 2)
        noisy = generator.random(pairs) < self.noise
        noisy[int(generator.integers(pairs - 1))] = noisy[-1] = False  # one pair at least, and the last
        keys[-1] = generator.choice(keys[:-1][~noisy[:-1]])
        tokens = np.stack([keys, table[keys]], axis=1)
        tokens[noisy] = generator.integers(signs, signs + max(1, self.noise_vocab), size=(int(noisy.sum()), 2))
        labels, distance = nothing_asked(tokens.reshape(-1))
        last: dict[int, int] = {}
        for place in np.flatnonzero(~noisy):
            key = int(keys[place])
            if key in last:
                labels[2 * place + 1], distance[2 * place + 1] = table[key], 2 * (place - last[key])
            last[key] = int(place)
        return trained_on_all(Example(tokens.reshape(-1), labels, distance), training)


@dataclass(frozen=True)
class NoisyInContextRecall(InContextRecall):
    """In-context recall with two tokens of noise in place of a fifth of the pairs; 16 of the 32 tokens are noise, as mad-lab's baseline."""

    name = "mad:noisy-in-context-recall"
    noise_vocab = 16
    noise = 0.2

    vocab_size: int = 32


@dataclass(frozen=True)
class FuzzyInContextRecall:
    """In-context recall whose keys and values are one to three tokens long, without the same token twice; in tests keys have three.

    Vocabulary 16, length 128, motifs of up to three, as mad-lab's baseline; the last token of the vocabulary fills up the front.
    """

    name: ClassVar[str] = "mad:fuzzy-in-context-recall"
    longest: ClassVar[int] = 3

    vocab_size: int = 16
    length: int = 128

    def __post_init__(self) -> None:
        check_sizes(self.name, self.vocab_size - 1, self.length, least=2 * self.longest, shortest=5 * self.longest)

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length, self.length // 4),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        signs = self.vocab_size - 1
        half = signs // 2

        def motif(low: int, high: int, size: int | None) -> tuple[int, ...]:
            size = size or 1 + int(generator.integers(self.longest))
            return tuple(int(token) for token in low + generator.choice(high - low, size=size, replace=False))

        key_size = None if training else self.longest
        probe = motif(0, half, key_size)
        table: dict[tuple[int, ...], tuple[int, ...]] = {probe: motif(half, signs, None)}
        probe_size = len(probe) + len(table[probe])
        end = setting.length - probe_size - 2 * self.longest
        probe_at = int(generator.integers(max(1, end - 2 * self.longest)))  # a pair begins there or later, before the end
        pairs: list[tuple[int, ...]] = []
        size = 0
        while size < end:
            key = probe if size >= probe_at and probe not in pairs else motif(0, half, key_size)
            pairs.append(key)
            size += len(key) + len(table.setdefault(key, motif(half, signs, None)))
        pairs.append(probe)
        tokens = np.array([token for key in pairs for token in (*key, *table[key])])
        labels, distance = nothing_asked(tokens)
        last: dict[tuple[int, ...], int] = {}
        place = 0
        for key in pairs:
            start, stop = place + len(key), place + len(key) + len(table[key])
            if key in last:
                labels[start:stop], distance[start:stop] = tokens[start:stop], start - last[key]
            last[key], place = start, stop
        front = setting.length + 1 - len(tokens)
        filled = (np.pad(part, (front, 0), constant_values=value) for part, value in ((tokens, signs), (labels, IGNORED), (distance, 0)))
        return trained_on_all(Example(*filled), training)


class SelectiveCopying(Copy):
    """Copying of tokens among which blanks stand. Vocabulary 16, length 256, 16 tokens to copy, as mad-lab's baseline."""

    name = "mad:selective-copying"
    selective = True


@dataclass(frozen=True)
class Memorization:
    """Keys, each before a mark in whose place the value is asked for, of one table that is the same in all sequences: no value is ever
    shown, the weights learn it. Vocabulary 256, length 32, as mad-lab's baseline.
    """

    name: ClassVar[str] = "mad:memorization"

    vocab_size: int = 256
    length: int = 32

    def __post_init__(self) -> None:
        check_sizes(self.name, self.vocab_size - 1, self.length, least=2, shortest=2)

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length, self.length // 2),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        mark, half = self.vocab_size - 1, (self.vocab_size - 1) // 2
        values = half + np.random.default_rng(MAP_SEED).permutation(mark - half)
        keys = generator.integers(half, size=setting.items)
        tokens = np.full(setting.length + 1, mark)  # the last answer stands behind the last token
        tokens[: 2 * setting.items : 2] = keys
        labels, distance = nothing_asked(tokens)
        labels[2 : 2 * setting.items + 1 : 2] = values[keys]
        return Example(tokens, labels, distance)


@dataclass(frozen=True)
class Compression:
    """Random tokens, a mark, then marks in whose places the tokens are asked for, in their order.

    mad-lab's baseline has vocabulary 16 and 32 tokens with the mark; its model gives the state behind the mark to a decoder of its own. A
    language model has none: it says the tokens itself, so a sequence is twice as long, 64.
    """

    name: ClassVar[str] = "mad:compression"

    vocab_size: int = 16
    length: int = 64

    def __post_init__(self) -> None:
        check_sizes(self.name, self.vocab_size - 1, self.length, least=2, shortest=4)

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length, self.length // 2 - 1),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        items, mark = setting.items, self.vocab_size - 1
        tokens = np.full(setting.length, mark)
        tokens[:items] = generator.integers(mark, size=items)
        labels, distance = nothing_asked(tokens)
        asked = slice(items + 1, 2 * items + 1)
        labels[asked], distance[asked] = tokens[:items], items + 1
        return Example(tokens, labels, distance)


def check_sizes(name: str, signs: int, length: int, *, least: int, shortest: int) -> None:
    """Raises InputError where a vocabulary, without its special tokens, or a length is too small, or the length is odd."""
    if signs < least:
        raise InputError(f"{name}: vocab_size is too small by {least - signs}; leave it out for MAD's own")
    if length < shortest or length % 2:
        raise InputError(f"{name}: length must be even and at least {shortest + shortest % 2}, got {length}")


def trained_on_all(example: Example, training: bool) -> Example:
    """The example with every token but the first as a label, for training."""
    if not training:
        return example
    labels: Tokens = example.tokens.copy()
    labels[0] = IGNORED
    return example._replace(labels=labels)
