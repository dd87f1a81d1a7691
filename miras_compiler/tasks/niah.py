"""A needle in a haystack, in bytes: a sentence that gives a value, in a text about something else, and a question at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from miras_compiler.errors import InputError
from miras_compiler.tasks.base import Example, Setting, nothing_asked

Kind = Literal["passkey", "number", "word"]

REPEATED = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
SUBJECTS = (
    "the baker",
    "a traveller",
    "our neighbour",
    "the old clock",
    "a small boat",
    "the teacher",
    "somebody",
    "the river",
    "a grey cat",
    "the letter",
)
VERBS = ("waits for", "remembers", "follows", "draws", "has forgotten", "carries", "looks at", "sells", "returns to", "hears")
OBJECTS = (
    "the market",
    "a long winter",
    "the open window",
    "three lamps",
    "the harbour",
    "an empty garden",
    "the last train",
    "some bread",
    "a song",
    "the hill",
)
WORDS = (
    "anchor", "basket", "candle", "desert", "engine", "feather", "garden", "hammer", "island", "jacket", "kettle",
    "ladder", "mirror", "needle", "orange", "pepper", "quarry", "ribbon", "saddle", "timber", "urchin", "velvet",
    "walnut", "yellow", "zephyr", "bottle", "copper", "dragon", "falcon", "goblet", "helmet", "jungle",
)  # fmt: skip
DIGITS = 7
TESTED = (1024, 2048, 4096, 8192, 16384)


@dataclass(frozen=True)
class Niah:
    """The value of one needle is asked for; the tokens are bytes, and the bytes of the answer are predicted.

    The three kinds are those that Titans (arXiv 2501.00663, table 2) reports, S-NIAH-PK, -N and -W, in the words of RULER (NVIDIA/RULER,
    `niah.py`, arXiv 2404.06654): `passkey`, a number of seven digits among the same five sentences again and again; `number`, the same
    among sentences that differ; `word`, a word among these. RULER takes essays for the last two; here sentences are drawn, so that nothing
    is fetched. The needle stands anywhere. Training at length 1024, testing at 1024 to 16384.
    """

    name: ClassVar[str] = "niah"
    kinds: ClassVar[tuple[Kind, ...]] = ("passkey", "number", "word")
    vocab_size: ClassVar[int] = 256

    length: int = 0  # 0: those above

    def __post_init__(self) -> None:
        if self.length and self.length < 192:
            raise InputError(f"{self.name}: length {self.length} cannot hold a needle and its question; set at least 192")

    @property
    def training(self) -> tuple[Setting, ...]:
        return (Setting(self.length or TESTED[0], 1),)

    @property
    def testing(self) -> tuple[Setting, ...]:
        return self.training if self.length else tuple(Setting(length, 1) for length in TESTED)

    def draw(self, generator: np.random.Generator, setting: Setting, *, training: bool) -> Example:
        kind = self.kinds[int(generator.integers(len(self.kinds)))]
        key, value = WORDS[int(generator.integers(len(WORDS)))], _value(generator, kind)
        what = "word" if kind == "word" else "number"
        needle = f"One of the special magic {what}s for {key} is: {value}. "
        question = f"What is the special magic {what} for {key} mentioned in the text? It is: {value}"
        room = setting.length - len(needle) - len(question)
        hay = _hay(generator, kind, room)
        ends = [0, *(place + 2 for place in range(len(hay) - 2) if hay[place : place + 2] == ". ")]
        place = ends[int(generator.integers(len(ends)))]
        text = f"{hay[:place]}{needle}{hay[place:]}{question}"
        tokens = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)
        labels, distance = nothing_asked(tokens)
        shown, asked = place + needle.index(": ") + 2, setting.length - len(value)
        labels[asked:], distance[asked:] = tokens[asked:], asked - shown
        return Example(tokens, labels, distance)


class NiahPasskey(Niah):
    """Only passkeys."""

    name = "niah:passkey"
    kinds = ("passkey",)


class NiahNumber(Niah):
    """Only numbers."""

    name = "niah:number"
    kinds = ("number",)


class NiahWord(Niah):
    """Only words."""

    name = "niah:word"
    kinds = ("word",)


def _value(generator: np.random.Generator, kind: Kind) -> str:
    if kind == "word":
        return WORDS[int(generator.integers(len(WORDS)))]
    return str(int(generator.integers(10 ** (DIGITS - 1), 10**DIGITS)))


def _hay(generator: np.random.Generator, kind: Kind, room: int) -> str:
    """Text of `room` characters, which ends with a sentence, but may begin within one."""
    if kind == "passkey":
        return (REPEATED * (room // len(REPEATED) + 1))[-room:] if room else ""
    sentences, size = [], 0
    while size < room:
        parts = (SUBJECTS, VERBS, OBJECTS)
        sentence = " ".join(part[int(generator.integers(len(part)))] for part in parts).capitalize() + ". "
        sentences.append(sentence)
        size += len(sentence)
    return "".join(sentences)[size - room :]
