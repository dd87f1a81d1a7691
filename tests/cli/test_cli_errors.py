"""Whatever goes wrong ends as text on stderr and a documented exit code, never as a traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import miras_compiler.spec
from miras_compiler.cli import main
from miras_compiler.compare import subjects
from miras_compiler.errors import CheckFailed, InputError, InternalError
from miras_compiler.models.manifest import read_manifest
from miras_compiler.runs import RunFolder, read_object

MIRAS = [sys.executable, "-m", "miras_compiler"]
SPEC = """\
name: x
memory: {kind: matrix}
attentional_bias: {kind: l2}
retention: {kind: l2}
gates:
  alpha: {}
  eta: {}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(SPEC)
    return path


def test_wrong_input_is_told_on_stderr_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SPEC.replace("kind: l2}\nretention", "kind: hubber}\nretention"))
    assert main(["check", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}:3:")
    assert "unknown attentional bias 'hubber'; did you mean 'huber'?" in err


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["chek"], "No such command 'chek'"),
        (["check"], "Missing argument 'SPEC"),
        (["check", "--nonsense", "x.yaml"], "No such option: --nonsense"),
        (["list", "retentoin"], "unknown family or kind 'retentoin'; did you mean 'retention'?"),
        (["graph", "x.yaml", "--format", "gif"], "unknown picture format 'gif'"),
        (["graph", "x.yaml", "-o", "x.pgn"], "unknown picture format 'pgn'; did you mean 'png'?"),
        (["check", "x.yaml", "--set", "memory"], "--set memory: no key=value"),
        (["check", "x.yaml", "--set", "=3"], "no key=value"),
        (["check", "x.yaml", "--set", "chunk.size=[1"], "--set chunk.size"),
        (["sample", "run", "--prompt", "caf\udce9"], r"'caf\udce9': an argument that is not UTF-8"),
    ],
    ids=" ".join,
)
def test_wrong_options_are_told_with_code_2(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""


def test_a_failed_check_has_code_1(good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(*_: object) -> None:
        raise CheckFailed("the gradient is wrong")

    monkeypatch.setattr(miras_compiler.spec, "load_spec", failing)
    assert main(["check", str(good)]) == 1
    assert capsys.readouterr().err == "the gradient is wrong\n"


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("division by zero"), RecursionError("too deep"), MemoryError(), InternalError("unsorted nodes")], ids=repr
)
def test_a_bug_has_code_70_and_asks_for_a_report(
    good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bug: Exception
) -> None:
    def broken(*_: object) -> None:
        raise bug

    monkeypatch.setattr(miras_compiler.spec, "load_spec", broken)
    assert main(["check", str(good)]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("internal error: ")
    assert err.count("internal error") == 1
    assert "please open an issue" in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    details = Path(err.rstrip().rpartition(" ")[2])
    assert "Traceback" in details.read_text(encoding="utf-8")
    details.unlink()


def test_the_details_of_a_bug_are_saved_whatever_text_they_hold(
    good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("\udce9")

    monkeypatch.setattr(miras_compiler.spec, "load_spec", broken)
    assert main(["check", str(good)]) == 70
    details = Path(capsys.readouterr().err.rstrip().rpartition(" ")[2])
    assert r"\udce9" in details.read_text(encoding="utf-8")
    details.unlink()


@pytest.mark.slow
def test_an_interrupt_is_one_line_and_code_130(tmp_path: Path) -> None:
    """The child waits for a spec from a pipe that says nothing; it is interrupted there."""
    pipe = tmp_path / "x.yaml"
    os.mkfifo(pipe)
    child = subprocess.Popen([*MIRAS, "check", str(pipe)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    writer = open_for_writing(pipe, child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    os.close(writer)
    assert (out, err, child.returncode) == ("", "interrupted\n", 130)


def open_for_writing(pipe: Path, child: subprocess.Popen[str]) -> int:
    """A handle of the named pipe, as soon as the child reads from it."""
    while child.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nobody reads yet
                raise
            time.sleep(0.02)
    raise AssertionError(child.communicate())


@pytest.mark.slow
def test_a_reader_that_stops_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    child = subprocess.run([*MIRAS, "schema"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert child.stderr == ""
    assert child.returncode == 141


@pytest.mark.slow
def test_a_terminal_without_greek_letters_gets_question_marks() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    child = subprocess.run([*MIRAS, "list"], env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert "softmax(A)" in child.stdout


def test_of_more_than_50_complaints_the_first_50_and_the_count_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(SPEC + "".join(f"wrong{number}: 1\n" for number in range(1200)), encoding="utf-8")
    assert main(["check", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["'wrong0'" in lines[0], "'wrong49'" in lines[49]] == [True, True]
    assert lines[50:] == ["and 1,150 more problems, 1,200 in all"]


def test_all_errors_of_all_files_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml")]
    paths[0].write_text(SPEC.replace("  eta: {}\n", "  eta: {}\n  mu: {}\n").replace("{kind: matrix}", "{kind: matrx}"))
    paths[1].write_text(SPEC)
    paths[2].write_text(SPEC + "colour: red\n")
    assert main(["check", *map(str, paths), "--set", "chunk.size=0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(re.findall(r"a\.yaml:\d+:\d+: ", err)) == 2
    assert len(re.findall(r"c\.yaml:\d+:\d+: ", err)) == 1
    assert len(re.findall(r"^--set chunk\.size", err, flags=re.MULTILINE)) == 1


@pytest.mark.parametrize("verb", ["compile", "explain", "graph", "verify"])
def test_nothing_is_written_for_a_wrong_spec(verb: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = verb in ("compile", "verify")
    arguments = [str(good)] * several + [str(tmp_path / "none.yaml")] + ([] if verb == "explain" else ["-o", str(tmp_path / "out.svg")])
    assert main([verb, *arguments]) == 2
    assert capsys.readouterr().err.startswith(str(tmp_path / "none.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


def test_two_specs_with_one_name_are_not_compiled_into_one_folder(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "y.yaml"
    other.write_text(SPEC)
    assert main(["compile", str(good), str(other), "-o", str(tmp_path / "out")]) == 2
    assert f"{good} and {other} both have the name 'x'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_check_as_json_tells_every_problem_in_its_parts(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good.write_text(SPEC.replace("eta: {}", "eta: {parametrization: sigmoid}"))  # nothing to warn of
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SPEC.replace("matrix", "matrx"))
    assert main(["check", str(good), str(wrong), "--json"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    fine, bad = json.loads(out)
    assert (fine["ok"], fine["name"], fine["problems"]) == (True, "x", [])
    assert re.fullmatch("[0-9a-f]{12}", fine["digest"])
    assert bad["ok"] is False
    (problem,) = bad["problems"]
    assert problem["where"].startswith(f"{wrong}:2:")
    assert problem["remedy"] == "did you mean 'matrix'?"


@pytest.mark.parametrize("read", [lambda path: read_manifest(path.parent), subjects._read_object, read_object])
def test_json_that_is_nested_too_deep_is_wrong_input(read: Callable[[Path], object], tmp_path: Path) -> None:
    for name in ("manifest.json", "__init__.py", "spec.yaml"):
        (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"manifest\.json: is not JSON"):
        read(tmp_path / "manifest.json")


def test_lines_of_a_run_that_are_nested_too_deep_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("[" * 100_000 + "\n" + '{"step": 1}\n')
    assert list(RunFolder(tmp_path).rows([])) == [{"step": 1}]
