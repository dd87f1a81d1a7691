"""`miras new` writes a spec that is right, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from miras_compiler.cli import main
from miras_compiler.cli.elements import FAMILIES, kind
from miras_compiler.spec import load_spec


def test_a_new_spec_passes_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my_rule"]) == 0
    assert capsys.readouterr().out == "wrote specs/my_rule.yaml\n"
    assert main(["check", "specs/my_rule.yaml"]) == 0
    assert load_spec("specs/my_rule.yaml").name == "my_rule"


def test_a_new_spec_tells_every_kind_that_is_implemented(tmp_path: Path) -> None:
    main(["new", "my_rule", "-o", str(tmp_path)])
    comments = [line for line in (tmp_path / "my_rule.yaml").read_text().splitlines() if line.startswith("#")]
    for elements in FAMILIES.values():
        kinds = ", ".join(kind(element) for element in elements if not element.later)
        assert any(line.endswith(f"Now: {kinds}") for line in comments)


def test_a_spec_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("mine")
    assert main(["new", "mine", "-o", str(tmp_path)]) == 2
    assert "mine.yaml: exists already" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["../x", "/x", "a-b", "9x", "", "class", "torch", "x\ny", "x" * 100, "x: y"])
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "-o", str(tmp_path / "specs"), "--", name]) == 2
    assert capsys.readouterr().err.startswith("the name ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "specs").write_text("a file")
    assert main(["new", "my_rule", "-o", str(tmp_path / "specs")]) == 2
    assert "cannot be written" in capsys.readouterr().err
