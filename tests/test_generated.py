"""`generated/` holds exactly what the compiler writes now for `specs/`. With `--update-generated` it is rewritten instead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from miras_compiler.compiler import compile_spec
from miras_compiler.spec import load_spec
from miras_compiler.store import is_current

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ROOT / "generated"
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The specs are named from here, as the headers of the generated files name them."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_generated_package_is_what_the_compiler_writes(path: Path, request: pytest.FixtureRequest) -> None:
    compilation = compile_spec(load_spec(path.relative_to(ROOT)))
    place = GENERATED / compilation.spec.name
    if request.config.getoption("--update-generated"):
        compilation.write(GENERATED)
    differing = [
        file.path
        for file in compilation.files
        if not (place / file.path).is_file() or (place / file.path).read_bytes() != file.text.encode()
    ]
    assert not differing, f"{place} is not current; `make update` rewrites it"
    assert is_current(place, compilation.files), f"{place} holds files that the compiler does not write; `make update` removes them"


def test_every_generated_package_has_its_spec() -> None:
    packages = {path.name for path in GENERATED.iterdir() if not path.name.startswith(".")}
    assert packages == {load_spec(path).name for path in SPECS}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_same_spec_gives_the_same_bytes_in_any_process(path: Path, tmp_path: Path) -> None:
    """Another process, folder, hash seed, locale and time zone."""
    command = [sys.executable, "-m", "miras_compiler", "compile", str(path.relative_to(ROOT)), "-o", str(tmp_path)]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "Asia/Kathmandu", "COLUMNS": "40"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert is_current(tmp_path / path.stem, compile_spec(load_spec(path.relative_to(ROOT))).files)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_generated_package_imports_nothing_of_the_compiler(path: Path) -> None:
    """Imported with only its parent on the path, in a process in which the compiler cannot be found."""
    script = f"""
import sys
class Hidden:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "miras_compiler":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import {path.stem}
assert callable({path.stem}.chunk_{path.stem})
assert callable({path.stem}.fused_recurrent_{path.stem})
assert callable({path.stem}.naive_recurrent_{path.stem})
"""
    environment = {**os.environ, "PYTHONPATH": str(GENERATED), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
