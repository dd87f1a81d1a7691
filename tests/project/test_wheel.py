"""An installed wheel is whole: specs by their names, from any folder, as in a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.paths import ROOT, SPECS
from miras_compiler.cli import main
from miras_compiler.errors import InputError
from miras_compiler.spec import load_spec

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, in a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def elsewhere(installed: Path, tmp_path: Path) -> Run:
    """Runs Python on the installed wheel, in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(installed)}
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_the_wheel_holds_every_file_of_the_compiler_and_every_spec(installed: Path) -> None:
    def files(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    expected = files(ROOT / "miras_compiler") | {"specs" / path for path in files(SPECS)}
    assert files(installed / "miras_compiler") == expected


def test_an_installed_wheel_compiles_a_spec_by_name_to_the_bytes_of_a_checkout(elsewhere: Run, installed: Path, tmp_path: Path) -> None:
    where = elsewhere("-c", "import miras_compiler; print(miras_compiler.__file__)")
    assert where.stdout.strip() == str(installed / "miras_compiler" / "__init__.py")
    done = elsewhere("-m", "miras_compiler", "compile", "delta_net", "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert main(["compile", str(SPECS / "delta_net.yaml"), "-o", str(tmp_path / "here")]) == 0
    there, here = (
        {path.name: path.read_bytes() for path in (tmp_path / folder / "delta_net").iterdir() if path.is_file()}
        for folder in ("out", "here")
    )
    assert there == here


def test_a_file_wins_over_the_name_of_a_spec_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yaad").mkdir()
    assert load_spec("yaad").where("memory").startswith("specs/yaad.yaml:")
    (tmp_path / "dla").write_text((SPECS / "gla.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load_spec("dla").name == "gla"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("yaadd", r"^yaadd: neither a file nor the name of a spec .*; did you mean 'yaad'\?; `miras list specs` shows them$"),
        ("nothing", r"^nothing: neither a file nor the name of a spec that comes with the compiler; `miras list specs` shows them$"),
        ("yaad.yml", r"^yaad.yml: cannot be read: No such file or directory; name a spec file, or a spec by its name, such as yaad$"),
        ("specs", r"^specs: cannot be read: Is a directory"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(named: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=message):
        load_spec(named)


def test_without_the_program_that_draws_packages_have_no_picture_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert main(["compile", "delta_net", "linear_attention", "-o", str(tmp_path)]) == 0
    line = "warning: graph.svg is left out: the program graphviz-pure, which draws it, is missing; pip install graphviz-pure\n"
    assert capsys.readouterr().err == line
    assert {path.name for path in (tmp_path / "delta_net").glob("graph.*")} == {"graph.dot", "graph.json"}
    assert main(["graph", "delta_net", "-o", str(tmp_path / "x.svg")]) == 2
