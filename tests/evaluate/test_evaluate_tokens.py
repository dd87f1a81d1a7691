"""Texts of an evaluation in the tokens of the run: bytes, pairs of bytes, letters of a genome, and the part that is held out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from miras_compiler.data.fasta import LETTERS
from miras_compiler.errors import InputError
from miras_compiler.evaluate.opened import OpenedModel
from miras_compiler.evaluate.tokens import held_out, pieces, read_tokens, tokens_of

pytest.importorskip("transformers")
from miras_compiler.data.tokenizers import as_pretrained, byte_tokenizer, letter_tokenizer, train_bpe

TEXT = "Ein Gedächtnis lernt, während es liest. 🙂\n" * 3
END = {"byte": 256, "bpe:280": 279, "letters": 5}


def opened(folder: Path, kind: str, **about: Any) -> OpenedModel:
    """A run with that tokenizer; its model knows as many tokens as there are."""
    made = train_bpe([TEXT * 9], 280) if kind == "bpe:280" else letter_tokenizer(LETTERS) if kind == "letters" else byte_tokenizer()
    as_pretrained(made).save_pretrained(str(folder / "tokenizer"))
    config = SimpleNamespace(vocab_size=END[kind] + 1, eos_token_id=END[kind])
    return OpenedModel(folder, folder, SimpleNamespace(config=config), {"task": None, "tokenizer": kind} | about)


@pytest.mark.parametrize("kind", ["byte", "bpe:280"])
def test_a_text_comes_back_from_its_tokens(kind: str, tmp_path: Path) -> None:
    run = opened(tmp_path, kind)
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"{name}: {TEXT}", encoding="utf-8")
    found, size = read_tokens(run, [tmp_path / "b.txt", tmp_path / "a.txt"])
    assert size == 2 * len(f"a.txt: {TEXT}".encode())
    assert [END[kind]] == [found[-1]] == found[np.flatnonzero(found == END[kind])[:1]].tolist()
    assert (found == END[kind]).sum() == 2
    assert tokens_of(run).decode(found.tolist()) == f"b.txt: {TEXT}a.txt: {TEXT}"
    assert len(found) == size + 2 if kind == "byte" else len(found) < size
    assert "".join(pieces(tokens_of(run), found[: len(found) // 2 - 1])) == f"b.txt: {TEXT}"


def test_a_genome_is_read_letter_by_letter(tmp_path: Path) -> None:
    run = opened(tmp_path, "letters")
    (tmp_path / "x.fna").write_text(">one\nACGT\nNacg\n>two\nTT\n")
    found, size = read_tokens(run, [tmp_path / "x.fna"])
    assert size == 10
    assert found.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 5, 3, 3, 5]
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(InputError, match=r"x\.txt: is not a FASTA file, and .* was trained on a genome"):
        read_tokens(run, [tmp_path / "x.txt"])


@pytest.mark.parametrize("kind", ["byte", "bpe:280"])
def test_what_training_did_not_see_is_held_out(kind: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    stream, size = read_tokens(opened(tmp_path, kind), [tmp_path / "t.txt"])
    np.save(tmp_path / "tokens.npy", stream.astype(np.uint16))
    run = opened(tmp_path, kind, trained_tokens=len(stream) // 3)
    found, own = held_out(run)
    assert found.tolist() == stream[len(stream) // 3 :].tolist()
    assert own == pytest.approx(2 * size / 3, rel=0.2)
    assert own == len(found) - 1 or kind != "byte"  # all but the end


def test_a_run_that_saw_all_of_its_text_has_nothing_held_out(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(5))
    with pytest.raises(InputError, match="nothing is held out; name a text with --data"):
        held_out(opened(tmp_path, "byte", trained_tokens=5))
    (tmp_path / "tokens.npy").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read"):
        held_out(opened(tmp_path, "byte", trained_tokens=5))


def test_models_without_text_are_refused(tmp_path: Path) -> None:
    run = opened(tmp_path, "byte", task="mqar,pairs=4")
    with pytest.raises(InputError, match="was trained on the task mqar,pairs=4, whose tokens are not text"):
        tokens_of(run)
    values = OpenedModel(tmp_path, tmp_path, SimpleNamespace(config=SimpleNamespace(vocab_size=None)))
    with pytest.raises(InputError, match="forecasts values and reads no text"):
        tokens_of(values)
    few = OpenedModel(tmp_path / "none", tmp_path / "none", SimpleNamespace(config=SimpleNamespace(vocab_size=97)))
    with pytest.raises(InputError, match="has no tokenizer, and 97 tokens, too few for bytes"):
        tokens_of(few)
