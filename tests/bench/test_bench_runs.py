"""`miras bench` as a user meets it: refusals, tables, the file of results, the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.compiled import compilation
from miras_compiler.bench import comparison, correctness, machine
from miras_compiler.bench import run as bench_run
from miras_compiler.bench.children import Answer
from miras_compiler.cli import main
from miras_compiler.errors import InputError

DELTA = "specs/gated_delta_net.yaml"
GPU = machine.Machine("NVIDIA H100 80GB HBM3", "2.11.0", "3.6.0")
SPEED = {"forward": 0.5, "both": 2.0, "peak_gib": 1.0,
         "roofline_forward": 0.1, "bound_forward": "bytes", "roofline_both": 0.5, "bound_both": "products"}  # fmt: skip
GOOD = {"verified": "B2 T9", "passed": True, "entry": "o", "error": 1e-3, "limit": 5e-3}
BAD = {"verified": "B2 T9", "passed": False, "entry": "d k", "error": 0.5, "limit": 5e-3}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiled package, on a machine that says it has a GPU."""
    monkeypatch.setattr(machine, "find_gpu", lambda: GPU)
    return compilation("gated_delta_net").write(tmp_path / "generated")


def answering(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Answer]) -> list[str]:
    """Children answer as told; returns the list of the tasks that they were given."""
    tasks: list[str] = []

    def run(task: str, given: Mapping[str, Any], limit: float) -> Answer:
        tasks.append(task)
        return answers.get(task, Answer([], ""))

    monkeypatch.setattr(bench_run, "run_child", run)
    monkeypatch.setattr(correctness, "run_child", run)
    monkeypatch.setattr(comparison.compare_packages, "__defaults__", (run,))
    return tasks


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_without_a_gpu_it_says_so_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", DELTA, "--peers"]) == 2
    told = capsys.readouterr().err
    assert "finds none on this machine; run it on a machine with an NVIDIA GPU, or verify the kernels here with TRITON_INTERPRET=1" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["specs/yaad.yaml", "--peers", "--tune"], "--peers and --tune are different runs; choose one"),
        (["specs"], "specs: is not a package (no manifest.json); compile its spec, or name the folder of a package"),
        (["specs", "--set", "chunk.size=8"], "specs: --set changes a spec, and this is a package; name the spec"),
        (["specs/nosuch.yaml"], "specs/nosuch.yaml"),
    ],
)
def test_wrong_input_is_refused(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "find_gpu", lambda: GPU)
    assert main(["bench", *(each.replace("{out}", str(tmp_path)) for each in arguments)]) == 2
    assert told in capsys.readouterr().err


def test_a_machine_without_triton_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="Triton is not installed beside this torch; install a CUDA build of torch"):
        machine.find_gpu()


def test_speeds_stand_beside_errors_peers_and_rooflines(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = {"label": "fla-core 0.6", "batch": 4, "remark": "as it is", "error": 2e-3, "forward": 1.0, "both": 4.0, "peak_gib": 2.0}
    answers = {"verify": Answer([GOOD, GOOD], ""), "speed": Answer([SPEED], ""), "peer": Answer([peer], "")}
    answers["warm_pytorch"] = Answer([], "no end within 9 s")
    tasks = answering(monkeypatch, answers)
    monkeypatch.setattr(bench_run, "installed_peers", lambda: {"gated_delta_net": ("fla-core gated_delta_net",)})
    results = tmp_path / "results.json"
    assert main(["bench", str(package), "--peers", "-B", "8", "-T", "1000", "--results", str(results)]) == 0
    assert sorted(tasks[:2]) == ["warm", "warm_peer"]
    assert tasks[2:] == ["verify", "speed", "peer", "warm_pytorch"]
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[2:]]
    label = "gated_delta_net D64 chunk 64"
    assert cells[0] == [label, "kernels", "0.500", "2.000", "250", "1.00", "1.0e-03", "20% of bytes, 25% of products"]
    assert cells[1] == [label, "fla-core 0.6, B4", "1.000", "4.000", "1000", "2.00", "2.0e-03", "as it is"]
    assert cells[2] == [label, "PyTorch, compiled", "no end within 9 s"]
    assert cells[3] == ["NVIDIA H100 80GB HBM3, torch 2.11.0, Triton 3.6.0"]
    written = json.loads(results.read_text())
    assert (written["device"], written["versions"]["torch"], written["versions"]["triton"]) == GPU
    found = {(row["contender"], row["what"]): (row["value"], row["unit"], row["limit"]) for row in written["rows"]}
    assert found["kernels", "both"] == (2.0, "ms", None)
    assert found["kernels", "error"] == (1e-3, "", 5e-3)
    assert found["kernels", "roofline_both"] == (0.5, "ms", None)
    assert found["fla-core 0.6, B4", "peak_gib"] == (2.0, "GiB", None)
    assert found["PyTorch, compiled", "speed"] == (None, "", None)
    assert next(row["note"] for row in written["rows"] if row["what"] == "speed") == "no end within 9 s"
    manifest = json.loads((package / "manifest.json").read_text())
    assert {row["digest"] for row in written["rows"]} == {manifest["digest"]}


@pytest.mark.parametrize(
    ("deviation", "told"),
    [
        (Answer([BAD], ""), "no speed: d k is off by 5.0e-01, more than 5.0e-03, at B2 T9"),
        (Answer([GOOD, BAD], ""), "no speed: d k is off by 5.0e-01, more than 5.0e-03, at B2 T9"),
        (Answer([GOOD], "no end within 9 s"), "no speed: not verified, no end within 9 s"),
        (Answer([], "an illegal memory access"), "no speed: not verified, an illegal memory access"),
    ],
)
def test_no_speed_is_told_of_a_result_that_is_wrong_or_was_not_verified(
    deviation: Answer, told: str, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, {"verify": deviation, "speed": Answer([SPEED], "")})
    assert main(["bench", str(package)]) == 1
    captured = capsys.readouterr()
    assert told in captured.out
    assert "0.500" not in captured.out
    assert f"missed: gated_delta_net D64 chunk 64 ({told}" in captured.err


def test_a_check_prints_a_row_for_each_claim_and_fails_if_one_does(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"check": "free-running, calm", "entry": "o", "error": 1e-6, "limit": 1e-5}
    answering(monkeypatch, {"check": Answer([right], "")})
    assert main(["bench", str(package), "--check", "--cases", "2"]) == 0
    assert "2 of 2 hold" in capsys.readouterr().out
    answering(monkeypatch, {"check": Answer([right], "out of memory (exit code 1)")})
    assert main(["bench", str(package), "--check", "--cases", "1", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["dtype"], row["key"], row["what"], row["entry"]) for row in rows] == [
        ("float32", 64, "free-running, calm", "o"),
        ("float32", 64, "runs to its end", "out of memory (exit code 1)"),
    ]


def test_what_tuning_finds_enters_the_table(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.json"
    table.write_text("[]")
    monkeypatch.setattr(bench_run, "FILE", table)
    launch, shipped = [8, 1, 64, 255], {"kernel": "main", "launch": None, "ms": 2.0, "problem": ""}
    answers = {
        "compile_candidates": Answer([{"kernel": "main", "launch": launch, "problem": ""}], ""),
        "try_candidates": Answer([shipped, shipped | {"launch": launch, "ms": 1.0}], ""),
        "verify": Answer([GOOD, GOOD], ""),
    }
    answering(monkeypatch, answers)
    arguments = ["bench", str(package), "--tune", "--journal", str(tmp_path / "journal")]
    assert main(arguments) == 0
    (row,) = json.loads(table.read_text())
    assert (row["gpu"], row["form"], row["width"], row["tile"]) == ("H100", "matrix l2 l2 gradient_descent", 64, None)
    assert (row["kernels"], row["measured"][:35]) == ({"main": launch}, "NVIDIA H100 80GB HBM3, torch 2.11.0")
    assert "entered into table.json; compile the specs again" in capsys.readouterr().out
    assert len(list((tmp_path / "journal").iterdir())) == 1
