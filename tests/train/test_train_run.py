"""`miras train` on a task, on the CPU: a run's folder, and what becomes of it when the run is killed or goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from miras_compiler.cli import main
from miras_compiler.runs import RunFolder, step_of

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
        end = time.monotonic() + 120
        while not reached() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
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


def test_a_checkpoint_is_a_folder_of_transformers(finished: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(RunFolder(finished).newest_checkpoint(), trust_remote_code=True)
    assert model.config.vocab_size == 32
    assert model(torch.arange(16)[None]).logits.shape == (1, 16, 32)


def test_a_killed_run_goes_on_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    kill_when(lambda: len(curve(run)) >= 6 if (run / "metrics.jsonl").is_file() else False, [*SMALL, *TASK, *STEPS, "--out", str(run)])
    assert RunFolder(run).checkpoints()
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert curve(run) == curve(finished)
    assert weights(run) == weights(finished)
