"""`miras new` writes a spec that is right, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from miras_compiler.cli import main
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import Spec, build_spec, load_spec, normalized_yaml
from miras_compiler.spec.shipped import shipped_specs
from miras_compiler.spec.source import read_source


def test_a_new_spec_passes_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my_rule"]) == 0
    assert capsys.readouterr().out == "wrote specs/my_rule.yaml\n"
    assert main(["check", "specs/my_rule.yaml"]) == 0
    assert load_spec("specs/my_rule.yaml").name == "my_rule"


def test_a_new_spec_and_the_schema_have_the_same_defaults(tmp_path: Path) -> None:
    """Every value that is written out is the one that would stand there without it."""
    main(["new", "my_rule", "-o", str(tmp_path)])
    tree = read_source((tmp_path / "my_rule.yaml").read_text(), "x.yaml").tree
    kinds = {axis: {"kind": tree[axis]["kind"]} for axis in KINDS}
    bare = {"name": "my_rule", **kinds, "gates": {name: {} for name in tree["gates"]}}
    assert build_spec(tree) == build_spec(bare)
    assert set(tree) == set(Spec.model_fields)


@pytest.mark.parametrize("name", ["yaad", "lact", "specs/kda.yaml"])
def test_a_new_spec_from_another_is_that_under_another_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mine", "--from", name, "-o", str(tmp_path)]) == 0
    origin = shipped_specs()[Path(name).stem].path
    ours, theirs = load_spec(tmp_path / "mine.yaml"), load_spec(origin)
    assert normalized_yaml(ours) == normalized_yaml(theirs).replace(f"name: {theirs.name}\n", "name: mine\n", 1)


def test_a_new_spec_from_one_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mine", "--from", "yad", "-o", str(tmp_path)]) == 2
    assert "yad: neither a file nor the name of a spec that comes with the compiler; did you mean 'yaad'?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_new_spec_tells_every_kind(tmp_path: Path) -> None:
    main(["new", "my_rule", "-o", str(tmp_path)])
    comments = [line for line in (tmp_path / "my_rule.yaml").read_text().splitlines() if line.startswith("#")]
    for kinds in KINDS.values():
        assert any(line.endswith(f"Now: {', '.join(kinds)}") for line in comments)


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
