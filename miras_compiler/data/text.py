"""Texts from files and folders, plain or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from miras_compiler.errors import InputError

OPENERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}


class Document(NamedTuple):
    """A file as it is after decompression; `suffix` is its own, without that of the compression, such as ".fasta"."""

    path: Path
    suffix: str
    content: bytes


def read_documents(paths: Sequence[Path]) -> list[Document]:
    """The files that are named, and all files below folders that are, hidden ones left out, by their names.

    InputError with everything that cannot be read, or is empty.
    """
    problems: list[str] = []
    documents: list[Document] = []
    for path in paths:
        files = sorted(_files(path)) if path.is_dir() else [path]
        if not files:
            problems.append(f"{path}: the folder has no files; name one that has")
        for file in files:
            try:
                documents.append(_document(file))
            except (OSError, EOFError, lzma.LZMAError) as error:
                problems.append(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}; name a file or a folder with --data")
    problems += [f"{document.path}: is empty; name a file that holds something" for document in documents if not document.content.strip()]
    if problems:
        raise InputError("\n".join(problems))
    return documents


def check_texts(documents: Sequence[Document]) -> None:
    """Raises InputError with every document that is not text in UTF-8."""
    problems = []
    for document in documents:
        if (place := document.content.find(b"\0")) >= 0:
            problems.append(f"{document.path}: is binary: byte {place} is 0; name text files")
            continue
        try:
            document.content.decode()
        except UnicodeDecodeError as error:
            line = document.content.count(b"\n", 0, error.start) + 1
            problems.append(
                f"{document.path}:{line}: is no UTF-8: byte {error.start} is {document.content[error.start]:#04x}; "
                f"if it is a text, convert it: iconv -f latin1 -t utf-8 {document.path}"
            )
    if problems:
        raise InputError("\n".join(problems))


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink() or path.resolve() not in (folder.resolve(), *folder.resolve().parents):  # a link up is no end
                yield from _files(path)
        else:
            yield path


def _document(file: Path) -> Document:
    content, suffixes = file.read_bytes(), [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in OPENERS:
        content = OPENERS[suffixes.pop()](content) if content else b""
    return Document(file, suffixes[-1] if suffixes else "", content)
