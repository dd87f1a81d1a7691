"""The commands that run the compiler, from a spec to their output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import miras_compiler.verify
from kit.paths import SPECS
from miras_compiler import compile_spec, load_spec
from miras_compiler.cli import main
from miras_compiler.records import Origin
from miras_compiler.store import is_current
from miras_compiler.verify import Finding, Report

DELTA = str(SPECS / "gated_delta_net.yaml")
YAAD = str(SPECS / "yaad.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["list"], ["schema"], ["check", DELTA], ["explain", YAAD], ["graph", YAAD, "-o", "x.svg"], ["compile", YAAD, "-o", "x"]],
    ids=lambda arguments: str(arguments[0]),
)
def test_no_command_but_verify_imports_torch(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from miras_compiler.cli import main; code = main(sys.argv[1:]); sys.exit('torch' if 'torch' in sys.modules else code)"
    )
    child = subprocess.run([sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (child.stderr, child.returncode) == ("", 0)


def test_explain_prints_rule_form_reason_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    compilation = compile_spec(load_spec(DELTA))
    assert main(["explain", DELTA]) == 0
    text = capsys.readouterr().out
    assert compilation.update_rule.text() in text
    assert compilation.parallel_form.reason in text
    assert all(name in text.partition("cost\n")[2] for name, _, _ in compilation.cost)


def test_explain_as_latex_prints_latex_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", DELTA, "--latex"]) == 0
    text = capsys.readouterr().out
    assert "\\alpha" in text
    assert "α" not in text


def test_explain_as_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    compilation = compile_spec(load_spec(DELTA))
    assert main(["explain", DELTA, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parallel_form"]["reason"] == compilation.parallel_form.reason
    assert len(facts["cost"]) == len(compilation.cost)


def test_a_setting_changes_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", DELTA])
    plain = capsys.readouterr().out
    assert main(["explain", DELTA, "--set", "attentional_bias={kind: huber, delta: 2.0}"]) == 0
    assert capsys.readouterr().out != plain


@pytest.mark.parametrize(("format", "beginning"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("dot", b"digraph"), ("json", b"{")])
def test_graph_writes_the_format_that_the_file_is_named_after(format: str, beginning: bytes, tmp_path: Path) -> None:
    file = tmp_path / "deep" / f"picture.{format}"
    assert main(["graph", DELTA, "-o", str(file)]) == 0
    assert file.read_bytes().startswith(beginning)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_graph_is_named_after_the_spec_where_no_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["graph", DELTA]) == 0
    assert capsys.readouterr().out == "wrote gated_delta_net.svg\n"
    ElementTree.parse("gated_delta_net.svg")


@pytest.mark.slow
def test_graph_goes_to_stdout_and_shows_more_when_expanded() -> None:
    command = [sys.executable, "-m", "miras_compiler", "graph", YAAD, "--format", "dot", "-o", "-"]
    pictures = [subprocess.run([*command, *more], capture_output=True, check=True).stdout for more in ([], ["--expand"])]
    assert pictures[0].startswith(b"digraph")
    assert pictures[1].count(b"->") > pictures[0].count(b"->")


@pytest.mark.slow
def test_compile_writes_the_packages_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["compile", DELTA, YAAD, "-o", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()  # of each package a row, and the reason for its form below it
    assert sorted(path.name for path in out.iterdir()) == ["gated_delta_net", "yaad"]
    for line, reason, spec in zip(table[1::2], table[2::2], (DELTA, YAAD), strict=True):
        compilation = compile_spec(load_spec(spec))
        assert is_current(out / compilation.spec.name, compilation.files)
        assert line.startswith(str(out / compilation.spec.name))
        assert compilation.parallel_form.kind in line
        assert " ".join(reason.split()) == compilation.parallel_form.reason


@pytest.mark.slow
def test_compile_as_json_holds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", DELTA, "-o", str(tmp_path), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    compilation = compile_spec(load_spec(DELTA))
    assert (result["spec"], result["form"], result["files"]) == (DELTA, compilation.parallel_form.kind, len(compilation.files))
    assert result["lines"] > 100


def test_compile_into_a_folder_that_is_not_ours_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gated_delta_net").mkdir()
    (tmp_path / "gated_delta_net" / "thesis.tex").write_text("mine")
    assert main(["compile", DELTA, "-o", str(tmp_path)]) == 2
    assert "was not written by this compiler" in capsys.readouterr().err
    assert (tmp_path / "gated_delta_net" / "thesis.tex").read_text() == "mine"


@pytest.mark.slow
def test_two_processes_may_compile_the_same_spec(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "miras_compiler", "compile", DELTA, "-o", str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors.decode()
    assert is_current(tmp_path / "gated_delta_net", compile_spec(load_spec(DELTA)).files)


def reported(passed: bool) -> Report:
    good = Finding("gradient", "W", 1e-12, 1e-10, True, "", 0.1)
    other = Finding("causality", "o", None, None, passed, "worst: t 3", 0.2)
    return Report("gated_delta_net", "0" * 12, (good, other), Origin("miras verify", "cpu", {}, 0))


@pytest.mark.slow
@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_verify_prints_a_table_writes_the_report_and_says_it_by_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], passed: bool, code: int
) -> None:
    """With a stand-in for the verification, which takes its time; the real one is run below."""
    monkeypatch.setattr(miras_compiler.verified, "verify_package", lambda *_, **__: reported(passed))
    assert main(["verify", DELTA, "-o", str(tmp_path)]) == code
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["gated_delta_net:", "2" if passed else "1", "of", "2", "checks", "passed"]
    assert lines[2] == ["passed", "gradient", "W", "1.0e-12", "1.0e-10", "0.1"]
    assert lines[3] == ["passed" if passed else "FAILED", "causality", "o", "0.2"]
    assert lines[4] == ["worst:", "t", "3"]  # notes have a line of their own
    assert err == ("" if passed else "verification failed: gated_delta_net (causality, o)\n")
    assert json.loads((tmp_path / "gated_delta_net" / "verification.json").read_text()) == reported(passed).as_dict()


@pytest.mark.slow
def test_verify_as_json_prints_every_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(miras_compiler.verified, "verify_package", lambda *_, **__: reported(False))
    assert main(["verify", DELTA, "-o", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [reported(False).as_dict()]


@pytest.mark.slow
def test_verify_really_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(SPECS / "linear_attention.yaml")
    assert main(["verify", spec, "-o", str(tmp_path), "--quick"]) == 0
    capsys.readouterr()
    report = json.loads((tmp_path / "linear_attention" / "verification.json").read_text())
    assert report["passed"]
    assert len(report["rows"]) > 5


@pytest.mark.slow
def test_python_offers_the_same_as_the_command_line(tmp_path: Path) -> None:
    compilation = compile_spec(load_spec(DELTA))
    assert compilation.write(tmp_path) == tmp_path / "gated_delta_net"
    script = """
import torch, gated_delta_net
q, gate = torch.ones(1, 3, 2, 64), torch.ones(1, 3, 2)
print(gated_delta_net.chunk_gated_delta_net(q, q, q, log_alpha=-gate, eta=gate)[0].shape)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert child.stdout == "torch.Size([1, 3, 2, 64])\n", child.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "heavy"), [("check", "networkx numpy torch rich"), ("explain", "numpy torch rich")])
def test_a_shipped_spec_is_looked_at_without_what_takes_long_to_import(verb: str, heavy: str) -> None:
    """So that `check` costs no twice of `import sympy`, and `explain` no three times of it."""
    code = f"import sys; from miras_compiler.cli import main; main(['{verb}', 'yaad']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "sympy" in loaded
    assert not set(heavy.split()) & set(loaded)
