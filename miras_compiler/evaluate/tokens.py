"""Texts and tokens of a trained model: with the tokenizer of its run, or byte by byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.text import read_documents
from miras_compiler.data.tokenizers import encode, load_tokenizer
from miras_compiler.errors import InputError
from miras_compiler.evaluate.opened import OpenedModel
from miras_compiler.tasks import build_task, draw_batch

Stream = NDArray[Any]
"""Tokens of a text."""

UNFINISHED = "\ufffd"  # stands for bytes that are no character yet
TOKENIZER = "tokenizer.json"
FILE_NAME = re.compile(r"\S*[/\\]\S*|\S*\w\.(?=\w*[A-Za-z])\w{1,8}|[^\n]*\w\.(txt|md)")  # one word with a separator or a suffix


class Tokens(Protocol):
    """Texts to numbers and back."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; � for bytes that are no character."""


class ByteTokens:
    """A token is a byte of the text in UTF-8."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token for token in tokens if token < 256).decode(errors="replace")


class Trained:
    """A tokenizer of transformers."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text, add_special_tokens=False))

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.inner.decode(list(tokens), skip_special_tokens=True))


def tokens_of(opened: OpenedModel) -> Tokens:
    """The tokenizer of a language model; InputError for a model of a task or of values, which reads no text."""
    if opened.forecasts:
        raise InputError(f"{opened.path}: its model forecasts values and reads no text; name a run of `miras train --data TEXT`")
    if opened.about.get("task"):
        raise InputError(f"{opened.path}: was trained on the task {opened.about['task']}, whose tokens are not text; name a run on a text")
    for folder in (opened.run.tokenizer, opened.checkpoint):
        if (folder / TOKENIZER).is_file():
            return Trained(load_tokenizer(folder))
    if opened.model.config.vocab_size < 256:
        raise InputError(f"{opened.path}: has no tokenizer, and {opened.model.config.vocab_size} tokens, too few for bytes")
    return ByteTokens()


def encoded(tokens: Tokens, text: str, vocab_size: int) -> list[int]:
    """The tokens of a text, all of which the model knows; InputError names the first that it does not."""
    found = tokens.encode(text)
    check_known(found, vocab_size)
    return found


def check_known(tokens: Sequence[int] | Stream, vocab_size: int) -> None:
    """Raises InputError for a token that the model does not know."""
    largest = max(tokens, default=0) if isinstance(tokens, list) else int(np.max(tokens, initial=0))
    if largest >= vocab_size:
        raise InputError(f"the text has token {largest}, and the model knows {vocab_size}; give it the tokenizer that it was trained with")


def read_tokens(opened: OpenedModel, paths: Sequence[Path]) -> tuple[Stream, int]:
    """The tokens of files and folders as the run read its own, an end behind each document, and how many bytes (letters) they stand for.

    InputError for a file that is not text, and for letters that a genome does not have.
    """
    tokens, kind, end = tokens_of(opened), opened.about.get("tokenizer"), opened.model.config.eos_token_id
    documents = read_documents(paths, as_text=kind != "letters")
    if kind == "letters":
        other = next((each.path for each in documents if each.records is None), None)
        if other is not None:
            raise InputError(f"{other}: is not a FASTA file, and {opened.path} was trained on a genome; name a genome with --data")
        parts: list[Stream] = [record for each in documents for record in each.records or ()]
        size = sum(map(len, parts))
    else:
        size = sum(len(document.content) for document in documents)
        if kind == "byte" or not isinstance(tokens, Trained):
            parts = [np.frombuffer(document.content, np.uint8) for document in documents]
        else:
            inner = tokens.inner
            texts = [document.content.decode() for document in documents]
            parts = [encode(inner.backend_tokenizer, [text], inner.eos_token_id, len(inner))[:-1] for text in texts]
    mark = np.array([] if end is None else [end])
    found = np.concatenate([part for document in parts for part in (document, mark)]).astype(np.int64)
    check_known(found, opened.model.config.vocab_size)
    return found, size


def held_out(opened: OpenedModel) -> tuple[Stream, int]:
    """The tokens of the run's own text that training did not see, and how many bytes they stand for; InputError where there are none."""
    try:
        found = np.load(opened.run.tokens, mmap_mode="r", allow_pickle=False)[int(opened.about["trained_tokens"]) :].astype(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{opened.run.tokens}: cannot be read: {error}; name a text with --data") from None
    if not len(found):
        raise InputError(f"{opened.path}: was trained on all of its text, and nothing is held out; name a text with --data")
    return found, len(tokens_of(opened).decode(found.tolist()).encode())


def pieces(tokens: Tokens, ids: Iterable[int]) -> Iterator[str]:
    """The text that each token completes: "" for one that ends inside of a character, whose last token gives it whole."""
    done: list[int] = []
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        before = tokens.decode(done)
        piece = tokens.decode([*done, *waiting])[len(before) :]
        if piece.endswith(UNFINISHED) and len(waiting) < 4:
            yield ""
        else:
            done, waiting = waiting, []
            yield piece


def text_of(given: str) -> str:
    """The text that is given, or that of the file with this name; InputError for a file's name where there is no file."""
    file = Path(given)
    try:
        if len(given) < 1024 and file.is_file():
            return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is not text that can be read: {error}; name a file in UTF-8") from None
    if FILE_NAME.fullmatch(given):
        raise InputError(
            f"{given}: there is no such file; name one that is there, or end a text that looks like a file's name with a blank"
        )
    return given


def read_example(opened: OpenedModel, text: str | None, most: int, seed: int) -> tuple[tuple[str, ...], list[int]]:
    """The tokens of a text, which may be the name of a file, or of an example of the run's task; the pieces of text that they are.

    InputError where there is nothing to read.
    """
    if text is None and opened.about.get("task") and not opened.forecasts:
        task = build_task(opened.about["task"])
        ids = draw_batch(task, seed, task.testing[0], 1).tokens[0].tolist()[:most]
        return tuple(f"{token} " for token in ids), ids
    tokens = tokens_of(opened)
    if text is None:
        raise InputError(f"{opened.path}: there is nothing to read; name a text or the file of one")
    ids = encoded(tokens, text_of(text), opened.model.config.vocab_size)[:most]
    if not ids:
        raise InputError("the text is empty; give one of at least a token")
    return tuple(pieces(tokens, ids)), ids
