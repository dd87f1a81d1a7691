"""`miras eval`, `sample` and `surprise` on run folders and saved models, and the folders that they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from kit.model_package import FOLDER, TINY, language_model, package
from miras_compiler.cli import main
from miras_compiler.compare.runs import read_run
from miras_compiler.errors import InputError
from miras_compiler.evaluate.opened import open_run
from miras_compiler.evaluate.tokens import text_of
from miras_compiler.runs import RunFolder, publish_checkpoint

pytest.importorskip("transformers")
TASK = "mqar,vocab_size=32,pairs=2,length=16"
MESSAGE = "Gewiß, a text that the model has to predict, byte by byte. " * 4


@pytest.fixture(scope="module")
def bytes_model() -> Any:
    return language_model("gated_delta_net", {"vocab_size": 256, "num_hidden_layers": 1}).float()


def add_checkpoint(run: Path, step: int, model: Any) -> Path:
    part = run / f"part-{step}"
    model.save_pretrained(part)
    publish_checkpoint(part, RunFolder(run).checkpoint(step))
    return RunFolder(run).checkpoint(step)


def begin(run: Path, **about: Any) -> Path:
    run.mkdir()
    RunFolder(run).write_about({"command": "miras train gated_delta_net", "task": None, "data": None, "length": 16} | about)
    return run


@pytest.fixture
def run(bytes_model: Any, tmp_path: Path) -> Path:
    """A run on a text, with one checkpoint."""
    run = begin(tmp_path / "text_run", data=["books"])
    add_checkpoint(run, 4, bytes_model)
    (tmp_path / "valid.txt").write_text(MESSAGE, encoding="utf-8")
    return run


@pytest.mark.slow
def test_an_evaluation_is_written_beside_the_run_and_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--data", str(run.parent / "valid.txt"), "--stream", "40"]) == 0
    scores = json.loads((run / "eval.json").read_text())
    assert set(scores) == {"text:valid", "stream:valid"}
    assert scores["text:valid"]["checkpoint"] == "checkpoint-4"
    assert scores["text:valid"]["bytes"] == len(MESSAGE.encode())
    assert scores["stream:valid"]["tokens"] == 40
    assert (run / "eval.png").read_bytes().startswith(b"\x89PNG")
    printed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert printed["text:valid.bits_per_byte"] == f"{scores['text:valid']['bits_per_byte']:.6g}"
    assert main(["eval", str(run), "--task", TASK, "--rows", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[str(run)]
    assert set(json.loads((run / "eval.json").read_text())) == {"text:valid", "stream:valid", "task:mqar"}
    assert found["task:mqar"]["settings"].keys() == {"16_tokens_2_items"}


def test_a_comparison_reads_what_an_evaluation_wrote(run: Path) -> None:
    assert main(["eval", str(run), "--data", str(run.parent / "valid.txt")]) == 0
    scores, read = json.loads((run / "eval.json").read_text()), read_run(run)
    assert read.scores["text:valid.bits_per_byte"] == scores["text:valid"]["bits_per_byte"]
    positions = scores["text:valid"]["perplexity_by_position"]
    assert dict(read.curves["text:valid.perplexity_by_position"]) == {float(key): value for key, value in positions.items()}


@pytest.mark.slow
def test_a_run_on_a_task_is_measured_on_it(bytes_model: Any, tmp_path: Path) -> None:
    run = begin(tmp_path / "recall", task=TASK)
    add_checkpoint(run, 4, bytes_model)
    assert main(["eval", str(run), "--rows", "3"]) == 0
    assert set(json.loads((run / "eval.json").read_text())) == {"task:mqar"}
    assert main(["surprise", str(run)]) == 0
    tree = json.loads((run / "surprise" / "surprise.json").read_text())
    assert len(tree["tokens"]) == len(tree["layers"][0]["surprise"]) >= 16
    assert main(["sample", str(run), "--prompt", "x"]) == 2


def test_a_half_written_checkpoint_is_passed_over_for_the_newest_whole_one(
    run: Path, bytes_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    add_checkpoint(run, 12, bytes_model)
    torn = RunFolder(run).checkpoint(12) / "model.safetensors"
    torn.write_bytes(torn.read_bytes()[:-100])
    assert main(["eval", str(run), "--data", str(run.parent / "valid.txt"), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)[str(run)]["text:valid"]["checkpoint"] == "checkpoint-4"
    assert "checkpoint-12: is not whole, and is passed over for checkpoint-4" in shown.err


def test_a_saved_model_is_as_good_as_a_run(bytes_model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bytes_model.save_pretrained(tmp_path / "saved")
    arguments = ["sample", str(tmp_path / "saved"), "--prompt", "ab", "--tokens", "12"]
    texts = []
    for seed in ("1", "1", "2"):
        assert main([*arguments, "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("ab")


@pytest.mark.slow
def test_surprise_of_a_file_is_a_page_a_plot_and_numbers(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "seen"
    assert main(["surprise", str(run), str(run.parent / "valid.txt"), "-o", str(out), "--tokens", "9"]) == 0
    tree = json.loads((out / "surprise.json").read_text())
    assert tree["tokens"] == ["G", "e", "w", "i", "", "ß", ",", " ", "a"]
    assert [len(layer["surprise"]) for layer in tree["layers"]] == [9]
    assert '"ß"' in (out / "surprise.html").read_text()
    assert (out / "surprise.png").read_bytes().startswith(b"\x89PNG")
    assert "most surprising token" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nam.txt", "notes/first", "../a.md", "data.csv", "my notes.txt", "C:\\notes"])
def test_a_misspelt_name_of_a_file_is_no_text(name: str) -> None:
    with pytest.raises(InputError, match="there is no such file; name one that is there"):
        text_of(name)


@pytest.mark.parametrize("text", ["a text", "and/or nothing", "3.14", "e.g.", "The end.", "nam.txt ", "one.\ntwo", "x"])
def test_a_text_is_read_as_it_is(text: str) -> None:
    assert text_of(text) == text


def of_another_command(folder: Path) -> Path:
    return begin(folder / "bench_run", command="miras bench yaad")


def without_checkpoint(folder: Path) -> Path:
    return begin(folder / "fresh")


def no_run(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def of_another_model(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 8}
    LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(folder / "llama")
    return folder / "llama"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (of_another_command, "is of the command 'miras bench yaad'"),
        (without_checkpoint, "has no whole checkpoint"),
        (no_run, "is not a run: it has no run.json; name a folder that `miras train … --out RUN` wrote"),
        (lambda folder: folder / "nothing", "is not there; name the folder of a run"),
        (of_another_model, "is a model of LlamaForCausalLM, not of a package of this compiler"),
        (lambda folder: Path(package("gated_delta_net").__file__).parent, "is a package without weights; train it"),
    ],
)
def test_folders_without_a_trained_model_are_refused_with_the_way_out(
    make: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path)
    before = sorted(folder.rglob("*")) if folder.exists() else []
    for verb in (["eval", str(folder)], ["sample", str(folder)], ["surprise", str(folder), "text"]):
        assert main(verb) == 2
        assert message in capsys.readouterr().err
    assert (sorted(folder.rglob("*")) if folder.exists() else []) == before


def test_runs_that_can_be_measured_are_though_another_cannot(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tmp_path / "nothing"), str(run), "--data", str(run.parent / "valid.txt")]) == 2
    assert (run / "eval.json").is_file()
    assert "nothing: is not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "there is nothing to measure it by; name a text"),
        (["--stream", "100", "--task", TASK], "--stream is for texts; a task has lengths of its own: --task mqar,length=…"),
        (["--data", "x", "--task", "mqar"], "--data and --task measure different things"),
        (["--data", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["--task", "mqarr"], "there is no task 'mqarr'"),
        (["--task", "mqar"], "mqar has 8192 tokens, and the model 256"),
        (["--data", "{run}/valid.txt", "--device", "cuda:99"], "--device cuda:99: "),
        (["--rows", "0"], "--rows must be at least 1"),
        (["--season", "3", "--task", TASK], "--season is for series of values"),
        (["--choices", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
    ],
)
def test_requests_without_a_meaning_are_refused(options: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), *(option.replace("{run}", str(run.parent)) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert not (run / "eval.json").exists()


def test_weights_that_lack_a_part_are_refused(bytes_model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bytes_model.save_pretrained(tmp_path / "saved")
    weights = load_file(tmp_path / "saved" / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, tmp_path / "saved" / "model.safetensors", metadata={"format": "pt"})
    assert main(["sample", str(tmp_path / "saved")]) == 2
    assert "its weights lack model.norm.weight" in capsys.readouterr().err


def test_a_model_is_opened_where_its_package_is_not(run: Path, tmp_path: Path) -> None:
    shutil.move(run, tmp_path / "moved")
    assert open_run(tmp_path / "moved").checkpoint.name == "checkpoint-4"


@pytest.fixture
def run_of_package(bytes_model: Any, tmp_path: Path) -> Path:
    """A run with its package, and a text beside it."""
    run = begin(tmp_path / "whole_run", data=["books"], config={name: getattr(bytes_model.config, name) for name in TINY})
    add_checkpoint(run, 4, bytes_model)
    package("gated_delta_net")
    own = Path(FOLDER.name) / "gated_delta_net" / "gated_delta_net"
    shutil.copytree(own, run / "package", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "valid.txt").write_text(MESSAGE, encoding="utf-8")
    return run


@pytest.mark.slow
def test_weights_are_measured_under_a_changed_spec_beside_the_run_s_own(run_of_package: Path) -> None:
    text = ["--data", str(run_of_package.parent / "valid.txt")]
    for settings in ([], ["chunk.size=16"], ["attentional_bias.scale=0.5"]):
        assert main(["eval", str(run_of_package), *text, *(word for each in settings for word in ("--set", each))]) == 0
    bits = {name: section["bits_per_byte"] for name, section in json.loads((run_of_package / "eval.json").read_text()).items()}
    assert set(bits) == {"text:valid", "text:valid with chunk.size=16", "text:valid with attentional_bias.scale=0.5"}
    assert bits["text:valid with chunk.size=16"] == pytest.approx(bits["text:valid"], rel=1e-5), "its chunks compute the rule exactly"
    assert abs(bits["text:valid with attentional_bias.scale=0.5"] - bits["text:valid"]) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "layer.conv=3",
            "has the shape [4, 16], and [3, 16] is needed; set keys that leave the weights as they are",
        ),
        ("memory={kind: mlp}", "is missing; set keys that leave the weights as they are, such as chunk.size, or train the other spec"),
        ("chunk.sise=3", "sise"),
    ],
)
def test_a_changed_spec_that_the_weights_do_not_fit_is_refused(
    setting: str, message: str, run_of_package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run_of_package), "--data", str(run_of_package.parent / "valid.txt"), "--set", setting]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (run_of_package / "eval.json").exists()


@pytest.mark.slow
def test_settings_for_a_folder_without_a_spec_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--data", str(run.parent / "valid.txt"), "--set", "chunk.size=8"]) == 2
    assert "has no package/spec.yaml" in " ".join(capsys.readouterr().err.split())
