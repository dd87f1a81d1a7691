"""Genomes: the records of FASTA files as letters A, C, G, T and N."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miras_compiler.errors import InputError

SUFFIXES = frozenset({".fa", ".fas", ".fasta", ".fna", ".ffn", ".frn"})
LETTERS = "ACGTN"
AMBIGUOUS = "RYSWKMBDHV"  # of IUPAC: one of several bases, read as N
UNKNOWN = 255


def records_of(path: Path, content: bytes) -> Iterator[NDArray[np.uint8]]:
    """The records of a file as numbers of LETTERS. Small letters are as large ones, U is T, and letters for one of several bases are N.

    InputError at the first unknown letter, or where there is no record.
    """
    parts: list[NDArray[np.uint8]] = []
    codes, count = _codes(), 0
    for number, line in enumerate(content.split(b"\n"), 1):
        text = line.strip()
        if text.startswith(b">"):
            if parts:
                yield np.concatenate(parts)
            parts, count = [], count + 1
        elif text and not text.startswith(b";"):
            if not count:
                raise InputError(f"{path}:{number}: is not FASTA: a sequence stands before the first line that begins with >")
            letters = codes[np.frombuffer(text, np.uint8)]
            wrong = np.flatnonzero(letters == UNKNOWN)
            if len(wrong):
                letter = text[int(wrong[0]) : int(wrong[0]) + 1].decode("latin-1")
                raise InputError(
                    f"{path}:{number}:{int(wrong[0]) + 1}: unknown letter {letter!r}; a genome has A, C, G, T, U, N and "
                    f"{', '.join(AMBIGUOUS)}; other sequences can be read as text, from a file with another suffix"
                )
            parts.append(letters)
    if parts:
        yield np.concatenate(parts)
    elif not count:
        raise InputError(f"{path}: is not FASTA: no line begins with >")


def _codes() -> NDArray[np.uint8]:
    """Letters' numbers by their bytes."""
    codes = np.full(256, UNKNOWN, np.uint8)
    meaning = {**{letter: letter for letter in LETTERS}, "U": "T", **dict.fromkeys(AMBIGUOUS, "N")}
    for letter, base in meaning.items():
        codes[[ord(letter), ord(letter.lower())]] = LETTERS.index(base)
    return codes
