"""The data of `miras train`: texts, tokenizers, genomes; and the sequences that steps are made of."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from miras_compiler.cli import main
from miras_compiler.data.text import read_documents
from miras_compiler.errors import InputError
from miras_compiler.runs import RunFolder
from miras_compiler.tasks import build_task
from miras_compiler.train.data import file_data
from miras_compiler.train.settings import TrainSettings
from miras_compiler.train.sources import TaskSource, TokenSource

pytest.importorskip("tokenizers")

TEXT = "Der Bär – un café, 水 и огонь.\tzwei  Wörter\r\n" * 30
SHORT = TrainSettings(length=16)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    (folder / "a.txt").write_text(TEXT, newline="")
    (folder / "more" / "b.md.gz").write_bytes(gzip.compress(b"second"))
    (folder / "more" / "c.xz").write_bytes(lzma.compress(b"third"))
    (folder / ".hidden").write_bytes(b"\0")
    return folder


@pytest.mark.slow
def test_bytes_of_all_files_stand_in_a_row_with_an_end_after_each(texts: Path) -> None:
    data = file_data([texts], None, SHORT)
    assert data.tokens is not None
    assert data.tokens.tolist() == [*TEXT.encode(), 256, *b"second", 256, *b"third", 256]
    assert data.about["trained_tokens"] == len(data.tokens) - len(data.tokens) // 10
    assert data.about["config"] == {"vocab_size": 264, "bos_token_id": 256, "eos_token_id": 256}
    assert data.tokenizer.encode(TEXT) == list(TEXT.encode())
    assert data.tokenizer.decode(list(TEXT.encode())) == TEXT


@pytest.mark.slow
def test_byte_pairs_are_as_many_as_asked_for_and_lose_nothing(texts: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    data = file_data([texts], "bpe:280", SHORT)
    assert data.tokens is not None
    assert len(data.tokenizer) == 280
    assert int(data.tokens.max()) == data.tokenizer.eos_token_id == 279
    assert len(data.tokens) < len(TEXT.encode())
    data.write(tmp_path)
    loaded = AutoTokenizer.from_pretrained(RunFolder(tmp_path).tokenizer)
    for text in (TEXT, "ĀÿΩ\x00\x7f ~", "<|end|", "  a\n\n b"):
        assert loaded.decode(loaded.encode(text)) == text
    again = file_data([texts], str(RunFolder(tmp_path).tokenizer), SHORT)
    assert again.tokens is not None
    assert np.array_equal(again.tokens, data.tokens)


def test_a_long_text_is_encoded_in_pieces_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from miras_compiler.data import tokenizers

    monkeypatch.setattr(tokenizers, "PIECE", 50)
    assert "".join(tokenizers.pieces(TEXT)) == TEXT
    own = tokenizers.train_bpe([TEXT], 280)
    tokens = tokenizers.encode(own, [TEXT], 279, 280)
    assert own.decode(tokens[:-1].tolist()) == TEXT


def test_a_genome_is_letters_with_an_end_after_each_record(tmp_path: Path) -> None:
    genome = tmp_path / "g.fna.gz"
    genome.write_bytes(gzip.compress(b"; a comment\n>one record\nACGTnu\r\nRyK\n\n>two\n>three\nttt\n"))
    data = file_data([genome], None, TrainSettings(length=8))
    assert data.tokens is not None
    assert data.tokenizer.decode(data.tokens.tolist()) == "ACGTNTNNN<|end|>TTT<|end|>"
    assert data.tokenizer.encode("ACGTN") == [0, 1, 2, 3, 4]
    assert data.about["config"]["vocab_size"] == 8


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"", "a.txt: is empty"),
        ("a.txt", b" \n\t\n", "a.txt: is empty"),
        ("a.txt.gz", b"", "a.txt.gz: is empty"),
        ("a.txt.gz", b"no archive", "a.txt.gz: cannot be read: Not a gzipped file"),
        ("a.txt", b"abc\0def" * 9, "a.txt: is binary: byte 3 is 0; name text files"),
        ("a.txt", b"one\ncaf\xe9 " * 9, "a.txt:2: is not UTF-8: byte 7 is 0xe9; if it is a text, convert it: iconv"),
        (
            "a.txt",
            b"short",
            "6 tokens to train on are fewer than one sequence of 16; name more data, set --length to 6 or less, or hold less out",
        ),
        ("g.fa", b">x\nACGT\nACZGT\n", "g.fa:3:3: unknown letter 'Z'"),
        ("g.fasta", b">x\nAC1T\n", "g.fasta:2:3: unknown letter '1'"),
        ("g.fna", b"ACGT\n", "g.fna:1: is not FASTA: a sequence stands before the first line that begins with >"),
        ("g.fna", b">x\n>y\n", "its records hold no letters"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused_by_place(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        file_data([tmp_path / name], None, SHORT)
    assert told in str(caught.value)


def test_a_link_to_a_folder_above_is_not_followed_round_and_round(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.txt").write_text("0123456789")
    (tmp_path / "inner" / "up").symlink_to(tmp_path)
    (tmp_path / "inner" / "here").symlink_to(".")
    assert [document.path.name for document in read_documents([tmp_path])] == ["a.txt"]


def test_all_files_that_are_wrong_are_named_at_once(tmp_path: Path) -> None:
    wrong = {"a.txt": b"\0", "b.txt": b"", "c.txt": b"caf\xe9", "d.fa": b">x\nACXT\n", "e.txt.gz": b"torn"}
    for name, content in {**wrong, "good.txt": b"a text"}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        file_data([tmp_path], None, SHORT)
    assert [Path(line.split(":")[0]).name for line in str(caught.value).splitlines()] == list(wrong)


@pytest.mark.parametrize(
    ("tokenizer", "told"),
    [
        ("bpe", "is not a folder; choose byte, bpe:N or the folder of a saved tokenizer"),
        ("bpe:257", "bpe:N has N tokens, 258 to 1048576"),
        ("bpe:many", "bpe:N has N tokens"),
        ("bpe:90000", "tokens; ask for bpe:"),
        (".", "holds no tokenizer that can be loaded"),
    ],
)
def test_a_tokenizer_that_cannot_be_is_refused(tokenizer: str, told: str, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(texts)
    with pytest.raises(InputError) as caught:
        file_data([texts], tokenizer, SHORT)
    assert told in str(caught.value)


def test_an_epoch_reads_every_sequence_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(99, dtype=np.uint16))
    source = TokenSource(tmp_path / "tokens.npy", end=66, length=8, batch=2, seed=5)
    starts = [int(source.row(step, row)["input_ids"][0]) for step in range(8) for row in range(2)]
    assert sorted(starts[:8]) == sorted(starts[8:]) == list(range(0, 64, 8))
    assert starts[:8] != starts[8:]
    row = source.row(3, 1)
    assert row["labels"][0] == -100
    assert (row["labels"][1:] == row["input_ids"][1:]).all()
    assert (np.diff(row["input_ids"]) == 1).all()


def test_a_row_of_a_task_depends_on_its_step_and_number_alone() -> None:
    source = TaskSource(build_task("mqar"), seed=7)
    rows = {(step, row): source.row(step, row) for step in range(20) for row in range(3)}
    assert all({len(rows[step, row]["input_ids"]) for row in range(3)} == {source.tokens(step)} for step in range(20))
    assert len({rows[key]["input_ids"].tobytes() for key in rows}) == len(rows)
    again = TaskSource(build_task("mqar"), seed=7).row(11, 2)
    assert np.array_equal(again["labels"], rows[11, 2]["labels"])


@pytest.mark.slow
def test_a_model_of_a_text_has_its_tokenizer_beside_its_weights(texts: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sizes = ("model.hidden_size=32", "model.layers=1", "model.mlp.kind=none", "layer.heads=2", "layer.head_dim=8", "layer.value_dim=8")
    arguments = [part for size in sizes for part in ("--set", size)]
    run = RunFolder(tmp_path / "run")
    assert (
        main(
            [
                "train",
                "mamba2",
                *arguments,
                "--data",
                str(texts),
                "--steps",
                "2",
                "--batch",
                "4",
                "--micro-batch",
                "2",
                "--length",
                "32",
                "--out",
                str(run.path),
            ]
        )
        == 0
    )
    checkpoint = run.newest_checkpoint()
    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModelForCausalLM.from_pretrained(checkpoint, trust_remote_code=True)
    assert model.config.eos_token_id == tokenizer.eos_token_id == 256
    assert model.config.use_cache
    out = model.generate(**tokenizer("Der", return_tensors="pt"), max_new_tokens=4, do_sample=False)
    assert out.shape[1] <= 7
