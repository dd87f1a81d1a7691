"""From `--data` or `--task` to the files of a run's folder, and from there to the source of its sequences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from miras_compiler.data.fasta import LETTERS
from miras_compiler.data.series import Series, read_channels, read_saved, write_series
from miras_compiler.data.text import Document, read_documents
from miras_compiler.data.windows import Windows
from miras_compiler.errors import InputError, short
from miras_compiler.models import model_classes
from miras_compiler.runs import RunFolder
from miras_compiler.tasks import build_task, describe_task
from miras_compiler.train.settings import TrainSettings
from miras_compiler.train.sources import RowSource, TaskSource, TokenSource, ValuesSource

PATCHES = 32  # of values that a forecast sees, where nothing else is asked for
LENGTH = 512  # tokens of a sequence of text, where nothing else is asked for
BPE = re.compile(r"bpe:(\d+)")
FEWEST = 257 + 1  # tokens of byte pairs: all bytes, the end of a document, and one pair


@dataclass(frozen=True)
class Data:
    """The data that a run keeps: entries of run.json, and as files an array of tokens and a tokenizer, or series of numbers."""

    about: Mapping[str, Any]
    tokens: NDArray[Any] | None = None
    tokenizer: Any = None
    series: Sequence[Series] = ()

    def write(self, folder: Path) -> None:
        """Writes the tokens and the tokenizer, or the series, into a run's folder."""
        if self.series:
            write_series(RunFolder(folder).series, self.series)
        if self.tokens is not None:
            np.save(RunFolder(folder).tokens, self.tokens)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(str(RunFolder(folder).tokenizer))


class _Encoded(NamedTuple):
    tokens: NDArray[Any]
    tokenizer: Any
    size: int
    end: int


def task_data(text: str, settings: TrainSettings) -> Data:
    """A task, at the length that the settings ask for."""
    named = named_task(text, settings.length)
    return Data({"task": named, "config": {"vocab_size": build_task(named).vocab_size}})


def named_task(text: str, length: int | None) -> str:
    """The text of a task with every field, at a length if one is asked for."""
    return describe_task(build_task(text, **({} if length is None else {"length": length})))


def with_vocabulary(data: Data, size: int) -> Data:
    """The data for a model of `size` tokens, which a user asks for; InputError where they need more."""
    config = data.about["config"]
    if size < config["vocab_size"]:
        raise InputError(
            f"--set model.vocab_size={size}: the data have {config['vocab_size']} tokens; leave it out, or set it to at least that"
        )
    return replace(data, about={**data.about, "config": {**config, "vocab_size": size}})


def file_data(paths: Sequence[Path], tokenizer: str | None, settings: TrainSettings) -> Data:
    """Files as tokens. InputError with everything that is wrong with them."""
    tables = [path for path in paths if path.suffix.lower() == ".csv"]
    if tables:
        raise InputError(
            f"--data {tables[0]}: is a table of numbers, and the spec's model reads tokens; "
            "add --set 'model.input={kind: values, patch: 16, horizon: 96}', or name a text"
        )
    documents = read_documents(paths)
    genomes = [document for document in documents if document.records is not None]
    if genomes and len(genomes) < len(documents):
        other = next(document for document in documents if document.records is None)
        raise InputError(f"--data: {genomes[0].path} is a genome and {other.path} a text; train one model on one kind")
    encoded = _genome(genomes, tokenizer) if genomes else _text(documents, tokenizer)
    length = settings.length or LENGTH
    trained = len(encoded.tokens) - int(settings.hold_out * len(encoded.tokens))
    if trained < length:
        less = ", or hold less out" if settings.hold_out else ""
        raise InputError(
            f"--data: {trained:,} tokens to train on are fewer than one sequence of {length}; "
            f"name more data, set --length to {trained} or less{less}"
        )
    from miras_compiler.data.tokenizers import padded_size

    about = {
        "data": [str(path) for path in paths],
        "tokenizer": "letters" if genomes else tokenizer or "byte",
        "length": length,
        "data_tokens": len(encoded.tokens),
        "trained_tokens": trained,  # the first ones; those after them are held out
        "config": {"vocab_size": padded_size(encoded.size), "bos_token_id": encoded.end, "eos_token_id": encoded.end},
    }  # fmt: skip
    return Data(about, encoded.tokens, encoded.tokenizer)


def series_data(given: Mapping[str, Any], patch: int, horizon: int, settings: TrainSettings) -> Data:
    """CSV files as series, of which forecasts see `length` patches. InputError with everything that is wrong with them."""
    for name in ("task", "tokenizer"):
        if name in given:
            raise InputError(f"--{name} {given[name]}: is of tokens, and the spec's model takes values; name CSV files with --data")
    paths = [Path(name) for name in given["data"]]
    series = read_channels(paths)
    length = settings.length or PATCHES
    Windows(series, length * patch, horizon, settings.hold_out)
    about = {
        "data": [str(path) for path in paths],
        "length": length,
        "data_times": sum(len(each.values) for each in series),
        "config": {"channels": len(series[0].channels)},
    }
    return Data(about, series=series)


def open_source(run: RunFolder, settings: TrainSettings) -> RowSource:
    """The source of a run's sequences, from its folder alone."""
    about = run.about()
    if about.get("task") is not None:
        return TaskSource(build_task(about["task"]), settings.seed)
    try:
        if run.series.is_file():
            make_config, _ = model_classes(run.package)
            config = make_config(**about["config"])
            windows = Windows(read_saved(run.series), about["length"] * config.patch, config.horizon, settings.hold_out)
            return ValuesSource(windows, about["length"], settings.batch, settings.seed)
        return TokenSource(run.tokens, about["trained_tokens"], about["length"], settings.batch, settings.seed)
    except KeyError as missing:
        raise InputError(f"{run.path}: run.json has no {missing}; the run cannot be resumed: train it again") from None


def _genome(documents: Sequence[Document], tokenizer: str | None) -> _Encoded:
    from miras_compiler.data.tokenizers import as_pretrained, letter_tokenizer

    if tokenizer is not None:
        raise InputError(f"--tokenizer {tokenizer}: a genome is read letter by letter; leave --tokenizer out")
    end = len(LETTERS)
    records = [record for document in documents for record in document.records or ()]
    parts = [part for record in records for part in (record, np.array([end], np.uint8))]
    if not parts:
        raise InputError(f"{documents[0].path}: its records hold no letters; name a file that holds some")
    return _Encoded(np.concatenate(parts), as_pretrained(letter_tokenizer(LETTERS)), end + 1, end)


def _text(documents: Sequence[Document], tokenizer: str | None) -> _Encoded:
    from miras_compiler.data.tokenizers import as_pretrained, byte_tokenizer, encode, load_tokenizer, train_bpe

    if tokenizer in (None, "byte"):
        ended = [np.append(np.frombuffer(document.content, np.uint8).astype(np.uint16), np.uint16(256)) for document in documents]
        return _Encoded(np.concatenate(ended), as_pretrained(byte_tokenizer()), 257, 256)
    assert tokenizer is not None
    texts = [document.content.decode() for document in documents]
    if tokenizer.startswith("bpe:"):
        asked = BPE.fullmatch(tokenizer)
        if asked is None or not FEWEST <= int(asked[1]) <= 2**20:
            raise InputError(f"--tokenizer {short(tokenizer)}: bpe:N has N tokens, {FEWEST} to {2**20}; bpe:8192 suits small models")
        own = train_bpe(texts, int(asked[1]))
        size = own.get_vocab_size()
        end = size - 1
        return _Encoded(encode(own, texts, end, size), as_pretrained(own), size, end)
    saved = load_tokenizer(Path(tokenizer))
    size = max(len(saved), saved.eos_token_id + 1)
    return _Encoded(encode(saved.backend_tokenizer, texts, saved.eos_token_id, size), saved, size, saved.eos_token_id)
