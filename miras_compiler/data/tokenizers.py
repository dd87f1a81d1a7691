"""Tokenizers: bytes, pairs of bytes that are trained on the data, letters of a genome, or one that was saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from miras_compiler.errors import InputError

END = "<|end|>"  # the token between documents
PIECE = 2**20  # characters that are encoded at a time


def byte_tokenizer() -> Tokenizer:
    """Token i < 256 is byte i, and 256 the end of a document: every text comes back as it was."""
    vocabulary = {character: number for number, character in enumerate(_stand_ins())}
    return _with_end(_byte_level(Tokenizer(models.BPE(vocab=vocabulary, merges=[]))))


def letter_tokenizer(letters: str) -> Tokenizer:
    """Token i is letter i, and the last one the end of a sequence."""
    tokenizer = Tokenizer(models.WordLevel(vocab={letter: number for number, letter in enumerate(letters)}, unk_token=letters[-1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _with_end(tokenizer)


def train_bpe(texts: Sequence[str], size: int) -> Tokenizer:
    """Byte pairs, `size` tokens with all bytes and the end of a document. InputError where the texts do not give so many."""
    tokenizer = _byte_level(Tokenizer(models.BPE()), split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )  # fmt: skip
    tokenizer.train_from_iterator((piece for text in texts for piece in pieces(text)), trainer=trainer)
    found = tokenizer.get_vocab_size() + 1
    if found < size:
        raise InputError(f"--tokenizer bpe:{size}: the data give only {found} tokens; ask for bpe:{found} or fewer, or add data")
    return _with_end(tokenizer)


def encode(tokenizer: Any, texts: Sequence[str], end: int, size: int) -> NDArray[Any]:
    """All texts as one array of tokens, an end after each; of a tokenizer of `tokenizers` without special tokens of its own."""
    kind = np.uint16 if size <= 2**16 else np.uint32
    parts: list[NDArray[Any]] = []
    for text in texts:
        parts += [np.array(encoding.ids, kind) for encoding in tokenizer.encode_batch(list(pieces(text)), add_special_tokens=False)]
        parts.append(np.array([end], kind))
    return np.concatenate(parts)


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of about PIECE characters, which end behind a line where they can."""
    start = 0
    while start < len(text):
        stop = min(len(text), start + PIECE)
        if stop < len(text):
            stop = text.rfind("\n", start, stop) + 1 or stop
        yield text[start:stop]
        start = stop


def as_pretrained(tokenizer: Tokenizer) -> Any:
    """The tokenizer in the form that transformers saves and loads."""
    from transformers import PreTrainedTokenizerFast

    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=tokenizer, bos_token=END, eos_token=END, clean_up_tokenization_spaces=False)


def load_tokenizer(folder: Path) -> Any:
    """A tokenizer that was saved, as transformers loads it; InputError where there is none, or it has no end of a text."""
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise InputError(f"--tokenizer {folder}: is not a folder; choose byte, bpe:N or the folder of a saved tokenizer")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--tokenizer {folder}: holds no tokenizer that can be loaded: {reason}; save one with save_pretrained") from None
    if not tokenizer.is_fast:
        raise InputError(f"--tokenizer {folder}: is a slow tokenizer, without a tokenizer.json; save it as a fast one")
    if tokenizer.eos_token_id is None:
        raise InputError(f"--tokenizer {folder}: has no eos_token, which stands between documents; set one, and save it again")
    return tokenizer


def padded_size(tokens: int) -> int:
    """The vocabulary of a model for so many tokens: a multiple of 8, for the products of a GPU."""
    return -(-tokens // 8) * 8


def _byte_level(tokenizer: Tokenizer, split: bool = False) -> Tokenizer:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_end(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    return tokenizer


def _stand_ins() -> list[str]:
    """The characters that stand for bytes 0 … 255 in byte-level tokenizers: printable ones for themselves, others from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
