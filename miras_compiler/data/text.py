"""Texts and genomes from files and folders, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.fasta import SUFFIXES, records_of
from miras_compiler.errors import Collected, InputError

OPENERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}


class Document(NamedTuple):
    """A file as it is after decompression; `records` are those of a genome, and None for a text."""

    path: Path
    content: bytes
    records: tuple[NDArray[np.uint8], ...] | None = None


def read_documents(paths: Sequence[Path], as_text: bool = False) -> list[Document]:
    """The files that are named, and all files below folders that are, hidden ones left out, by their names.

    A file whose name says so is a genome, unless `as_text`. InputError with every file that cannot be read, is empty, no text in UTF-8
    or no genome.
    """
    problems = Collected()
    documents: list[Document] = []
    for path in paths:
        files = sorted(_files(path)) if path.is_dir() else [path]
        if not files:
            problems.append(f"{path}: the folder has no files; name one that has")
        for file in files:
            with problems.keeping():
                documents.append(_document(file, as_text))
    problems.check()
    return documents


def _check_text(path: Path, content: bytes) -> None:
    """Raises InputError for bytes that are not text in UTF-8."""
    if (place := content.find(b"\0")) >= 0:
        raise InputError(f"{path}: is binary: byte {place} is 0; name text files")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: is not UTF-8: byte {error.start} is {content[error.start]:#04x}; "
            f"if it is a text, convert it: iconv -f latin1 -t utf-8 {path}"
        ) from None


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink() or path.resolve() not in (folder.resolve(), *folder.resolve().parents):  # a link up is no end
                yield from _files(path)
        else:
            yield path


def _document(file: Path, as_text: bool) -> Document:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    try:
        content = file.read_bytes()
        if suffixes and suffixes[-1] in OPENERS:
            content = OPENERS[suffixes.pop()](content) if content else b""
    except (OSError, EOFError, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: cannot be read: {reason}; name a file or a folder with --data") from None
    if not content.strip():
        raise InputError(f"{file}: is empty; name a file that holds something")
    if suffixes and suffixes[-1] in SUFFIXES and not as_text:
        return Document(file, content, tuple(records_of(file, content)))
    _check_text(file, content)
    return Document(file, content)
