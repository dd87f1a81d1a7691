"""Genomes: the records of FASTA files as letters A, C, G, T and N."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.text import Document
from miras_compiler.errors import InputError

SUFFIXES = frozenset({".fa", ".fas", ".fasta", ".fna", ".ffn", ".frn"})
LETTERS = "ACGTN"
AMBIGUOUS = "RYSWKMBDHV"  # of IUPAC: one of several bases, read as N
UNKNOWN = 255


def is_fasta(document: Document) -> bool:
    return document.suffix in SUFFIXES


def read_records(documents: Sequence[Document]) -> list[NDArray[np.uint8]]:
    """Every record as numbers of LETTERS. Small letters are as large ones, U is T, and letters for one of several bases are N.

    InputError with the first unknown letter of every file, or where a file has no record.
    """
    problems: list[str] = []
    records: list[NDArray[np.uint8]] = []
    for document in documents:
        try:
            records += _records(document)
        except InputError as problem:
            problems.append(str(problem))
    if problems:
        raise InputError("\n".join(problems))
    return records


def _records(document: Document) -> Iterator[NDArray[np.uint8]]:
    parts: list[NDArray[np.uint8]] = []
    codes, count = _codes(), 0
    for number, line in enumerate(document.content.split(b"\n"), 1):
        text = line.strip()
        if text.startswith(b">"):
            if parts:
                yield np.concatenate(parts)
            parts, count = [], count + 1
        elif text and not text.startswith(b";"):
            if not count:
                raise InputError(f"{document.path}:{number}: is not FASTA: a sequence stands before the first line that begins with >")
            letters = codes[np.frombuffer(text, np.uint8)]
            wrong = np.flatnonzero(letters == UNKNOWN)
            if len(wrong):
                letter = text[int(wrong[0]) : int(wrong[0]) + 1].decode("latin-1")
                raise InputError(
                    f"{document.path}:{number}:{int(wrong[0]) + 1}: unknown letter {letter!r}; a genome has A, C, G, T, U, N and "
                    f"{', '.join(AMBIGUOUS)}; other sequences can be read as text, from a file with another suffix"
                )
            parts.append(letters)
    if parts:
        yield np.concatenate(parts)
    elif not count:
        raise InputError(f"{document.path}: is not FASTA: no line begins with >")


def _codes() -> NDArray[np.uint8]:
    """Letters' numbers by their bytes."""
    codes = np.full(256, UNKNOWN, np.uint8)
    meaning = {**{letter: letter for letter in LETTERS}, "U": "T", **dict.fromkeys(AMBIGUOUS, "N")}
    for letter, base in meaning.items():
        codes[[ord(letter), ord(letter.lower())]] = LETTERS.index(base)
    return codes
