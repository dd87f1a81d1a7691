"""`miras train` on a task, on the CPU: a run's folder, also when the run is killed or goes wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import sharded_on_cpu
from miras_compiler.cli import main
from miras_compiler.runs import RunFolder, publish_checkpoint, step_of
from miras_compiler.train.plot import plot_loss

pytest.importorskip("transformers")

SIZES = ("model.hidden_size=32", "model.layers=1", "model.mlp.kind=none", "layer.heads=2", "layer.head_dim=8", "layer.value_dim=8")
SMALL = ["gated_delta_net", *(part for size in SIZES for part in ("--set", size))]
TASK = ["--task", "mqar,vocab_size=32,pairs=2,length=16"]
STEPS = ["--steps", "12", "--batch", "4", "--save-every", "4"]


def curve(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's learning curve without their speed."""
    return [{key: value for key, value in row.items() if key != "tokens_per_second"} for row in RunFolder(run).rows()]


def weights(run: Path) -> bytes:
    return (RunFolder(run).newest_checkpoint() / "model.safetensors").read_bytes()


def kill_when(reached: Callable[[], bool], arguments: list[str]) -> None:
    """Runs the command line in a process of its own, and kills it as soon as something is so."""
    process = subprocess.Popen([sys.executable, "-m", "miras_compiler", "train", *arguments], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 600
        while not reached() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[1].decode()
        assert reached()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve steps that nothing disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", *SMALL, *TASK, *STEPS, "--out", str(run)]) == 0
    return run


def begun(finished: Path, place: Path) -> Path:
    """A run like `finished` before its first step."""
    place.mkdir()
    shutil.copy(finished / "run.json", place)
    shutil.copytree(finished / "package", place / "package")
    return place


@pytest.mark.slow
def test_a_run_folder_holds_what_a_reader_needs(finished: Path) -> None:
    run = RunFolder(finished)
    about = run.about()
    assert about["command"].startswith("miras train")
    assert about["spec"] == "gated_delta_net"
    assert about["digest"] == json.loads((run.package / "manifest.json").read_text())["digest"]
    assert (about["seed"], about["steps"], about["batch"]) == (0, 12, 4)
    assert {"miras", "python", "torch", "transformers"} <= set(about["versions"])
    assert [step_of(path) for path in run.checkpoints()] == [8, 12]
    assert run.plot.read_bytes().startswith(b"\x89PNG")
    assert any((finished / "tensorboard").iterdir())
    rows = list(run.rows())
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["tokens"] for row in rows] == [64 * step for step in range(1, 13)]
    assert all({"loss", "lr", "tokens_per_second", "grad_norm"} <= set(row) for row in rows)
    assert rows[1]["lr"] == pytest.approx(1e-3)
    assert rows[-1]["lr"] < 2e-4


@pytest.mark.slow
def test_a_checkpoint_is_a_folder_of_transformers(finished: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(RunFolder(finished).newest_checkpoint(), trust_remote_code=True)
    assert model.config.vocab_size == 32
    assert model(torch.arange(16)[None]).logits.shape == (1, 16, 32)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    run = begun(finished, tmp_path / "killed")
    kill_when(lambda: len(curve(run)) >= 6, ["--out", str(run), "--resume"])
    assert RunFolder(run).checkpoints()
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert curve(run) == curve(finished)
    assert weights(run) == weights(finished)


@pytest.mark.parametrize("damaged", [b"", b"1234567", b"\0" * 8, None], ids=["empty", "short", "zeros", "gone"])
def test_a_checkpoint_is_whole_as_it_was_written_alone(damaged: bytes | None, tmp_path: Path) -> None:
    part, place = tmp_path / "part", tmp_path / "checkpoint-1"
    (part / "inner").mkdir(parents=True)
    file = place / "inner" / "weights"
    (part / "inner" / "weights").write_bytes(b"12345678")
    publish_checkpoint(part, place)
    assert RunFolder(tmp_path).checkpoints() == [place]
    if damaged is None:
        file.unlink()
    else:
        file.write_bytes(damaged)
    assert RunFolder(tmp_path).damaged() == [place]


@pytest.mark.slow
def test_a_half_written_checkpoint_is_left_out(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "torn"
    shutil.copytree(finished, run)
    torn = run / "checkpoint-12" / "model.safetensors"
    torn.write_bytes(bytes(torn.stat().st_size))  # as after a loss of power
    assert main(["train", "--out", str(run), "--resume"]) == 0
    told = capsys.readouterr().err
    assert "checkpoint-12: is not whole, and is left out" in told
    assert "goes on from checkpoint-8" in told
    assert curve(run) == curve(finished)
    assert weights(run) == weights(finished)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from miras_compiler.train import loop

    run, limits = tmp_path / "full", resource.getrlimit(resource.RLIMIT_FSIZE)

    def publish_and_fill(part: Path, place: Path) -> None:
        publish_checkpoint(part, place)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as a disk with that much room left

    monkeypatch.setattr(loop, "publish_checkpoint", publish_and_fill)
    try:
        assert main(["train", *SMALL, *TASK, *STEPS, "--out", str(run)]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = capsys.readouterr().err
    assert f"{run}: cannot be written (" in told
    assert "the last good checkpoint is checkpoint-4, and nothing of it is lost; make room there, then go on with --resume" in told
    assert [path.name for path in run.glob("*checkpoint*")] == ["checkpoint-4"]
    assert not (run / ".saving").exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_where_it_began(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "diverged"
    assert (
        main(
            [
                "train",
                *SMALL,
                *TASK,
                "--steps",
                "6",
                "--batch",
                "4",
                "--save-every",
                "1",
                "--warmup",
                "2",
                "--lr",
                "1e30",
                "--out",
                str(run),
            ]
        )
        == 1
    )
    told = capsys.readouterr().err
    assert f"the last good checkpoint is {run}/checkpoint-2; train it again with a smaller --lr" in told
    assert "step 3: the loss is" in told
    assert [row["step"] for row in curve(run)] == [1, 2]


def test_the_place_where_a_number_is_lost_is_named(tmp_path: Path) -> None:
    import torch
    from torch import nn

    from miras_compiler.errors import CheckFailed
    from miras_compiler.train.diverged import check_finite

    class Logarithm(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.abs().neg().log()

    model = nn.Sequential(nn.Linear(2, 2), Logarithm(), nn.Linear(2, 1))
    losses = [torch.tensor(1.0), torch.tensor(float("nan")), torch.tensor(float("nan"))]
    with pytest.raises(
        CheckFailed, match=r"step 9: the loss is nan; the first output that is not a number is that of 1; there was no checkpoint yet"
    ):
        check_finite(RunFolder(tmp_path), model, {"input": torch.ones(1, 2)}, losses, 10, 1)
    with torch.no_grad():
        nn.init.constant_(model.get_parameter("2.weight"), float("inf"))
    with pytest.raises(CheckFailed, match=r"the weights are not numbers any more: 2\.weight"):
        check_finite(RunFolder(tmp_path), model, {"input": torch.ones(1, 2)}, losses, 10, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--data or --task: name one of the two to train on"),
        (["--task", "mqar", "--data", "x"], "--data or --task: name one of the two"),
        (["--task", "mqar", "--tokenizer", "byte"], "a task has tokens of its own; leave it out"),
        (["--task", "mqar", "--lr", "0"], "--lr must be above 0, got 0.0"),
        (["--task", "mqar", "--lr", "nan"], "--lr must be above 0, got nan"),
        (["--task", "mqar", "--steps", "0"], "--steps must be at least 1, got 0"),
        (["--task", "mqar", "--length", "1"], "--length must be at least 2"),
        (["--task", "mqar", "--warmup", "1000"], "--warmup must be at least 0 and below the 1000 steps, got 1000"),
        (["--task", "mqar", "--precision", "half"], "there is no such precision; choose from auto, bfloat16, float32"),
        (["--task", "mqar", "--save-every", "5", "--log-every", "2"], "--save-every 5 is not a multiple of --log-every 2"),
        (["--task", "mqar", "--batch", "8", "--micro-batch", "3"], "--micro-batch 3 does not divide the 8 sequences of a device"),
        (["--task", "mqar", "--set", "model.vocab_size=99"], "the data have 8192 tokens; leave it out"),
        (["--task", "mqar", "--resume", "--set", "chunk.size=0"], "chunk.size"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "gated_delta_net", *arguments, "--out", str(tmp_path / "run")]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_is_taken_up_only_as_it_was_begun(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = (finished / "run.json").read_text()
    for arguments, told in (
        ([*SMALL, *TASK], f"{finished}: holds a run already; go on with it by --resume"),
        (["--resume", "--lr", "0.5"], "--lr 0.5 (0.001 in run.json)"),
        (["--resume", "--task", "mqar"], "--task mqar,vocab_size=8192"),
        (["yaad", "--resume"], "the spec "),
        (["--resume", "--set", "chunk.size=32"], "--set changes a spec, and none is named"),
    ):
        assert main(["train", *arguments, "--out", str(finished)]) == 2
        assert told in capsys.readouterr().err
    assert main(["train", "--resume", "--out", str(tmp_path / "none")]) == 2
    assert "holds no run to go on with; name a SPEC to train" in capsys.readouterr().err
    assert (finished / "run.json").read_text() == about
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text('{"command": "miras sweep grid.yaml"}')
    for arguments in (["--resume"], [*SMALL, *TASK]):
        assert main(["train", *arguments, "--out", str(other)]) == 2
        assert "is of the command 'miras sweep grid.yaml', and not of `miras train`" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["run.json"]


@pytest.mark.slow
def test_a_finished_run_taken_up_trains_nothing_more(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = weights(finished)
    assert main(["train", *SMALL, *TASK, *STEPS, "--resume", "--out", str(finished)]) == 0
    assert f"{finished}: all of its steps are done" in capsys.readouterr().err
    assert weights(finished) == before
    assert len(curve(finished)) == 12


def test_an_interrupted_run_says_how_it_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    run = begun(finished, tmp_path / "a run")
    monkeypatch.setattr("miras_compiler.train.loop.train", interrupted)
    assert main(["train", "--out", str(run), "--resume"]) == 130
    assert capsys.readouterr().err.splitlines()[-2:] == [f"{run}: to go on: miras train --out '{run}' --resume", "interrupted"]


@pytest.mark.parametrize(("points", "lines"), [(20, 1), (400, 2)])
def test_a_running_mean_is_drawn_where_it_is_none_of_the_points(
    points: int, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(len(figure.axes[0].lines)))
    run = RunFolder(tmp_path)
    run.metrics.write_text("".join(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\n" for step in range(points)))
    plot_loss(run, "a run")
    assert drawn == [lines]


@pytest.mark.slow
def test_two_processes_that_share_a_model_have_the_curve_of_one(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM

    run = RunFolder(begun(finished, tmp_path / "sharded"))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(Path(sharded_on_cpu.__file__))]
    command = [sys.executable, *launch, "train", "--out", str(run.path), "--resume"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 0, done.stderr
    assert (run.newest_checkpoint() / "pytorch_model_fsdp.bin").is_file()
    for ours, theirs in zip(curve(finished), curve(run.path), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    whole, shared = (
        AutoModelForCausalLM.from_pretrained(RunFolder(path).newest_checkpoint(), trust_remote_code=True).state_dict()
        for path in (finished, run.path)
    )
    assert all((whole[name] - shared[name]).abs().max() < 1e-4 for name in whole)
    shutil.rmtree(run.newest_checkpoint())  # the run is not at its end any more
    assert main(["train", "--out", str(run.path), "--resume"]) == 2
    assert "was saved by several GPUs, and one process cannot go on from it" in capsys.readouterr().err
