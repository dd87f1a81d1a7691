"""`generated/` holds exactly the files that the compiler writes now for `specs/`. With `--update-generated` it is rewritten instead."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit.paths import GENERATED, SPEC_FILES
from miras_compiler.compiler import compile_spec
from miras_compiler.spec import load_spec

REPORT = "verification.json"


@pytest.fixture(scope="module", autouse=True)
def updated(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-generated"):
        for path in SPEC_FILES:
            compile_spec(load_spec(path)).write(GENERATED)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a package by name, but for the report on it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != REPORT and "__pycache__" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])
def test_generated_packages_are_what_the_compiler_writes_in_any_process(half: int, tmp_path: Path) -> None:
    """Another process, folder, way to name the specs, hash seed, locale and time zone."""
    specs = [os.path.relpath(path, tmp_path) for path in SPEC_FILES[half::2]]
    command = [sys.executable, "-m", "miras_compiler", "compile", *specs, "-o", "out"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "Asia/Kathmandu", "COLUMNS": "40"}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    written = {path.stem: contents(tmp_path / "out" / path.stem) for path in SPEC_FILES[half::2]}
    there = {path.stem: contents(GENERATED / path.stem) for path in SPEC_FILES[half::2]}
    differing = [
        f"{name}/{file}" for name in written for file in {*written[name], *there[name]} if written[name].get(file) != there[name].get(file)
    ]
    assert not differing, "generated/ is not current; `make update` rewrites it"


def test_every_generated_package_has_its_spec() -> None:
    packages = {path.name for path in GENERATED.iterdir() if not path.name.startswith(".")}
    assert packages == {path.stem for path in SPEC_FILES}


IMPORT = re.compile(r"^ *(?:import|from) +(\w[\w.]*)", re.MULTILINE)  # from another place than the package itself
RELATIVE = re.compile(r"^\s*from \.(\w*)(?: import (\w+))", re.MULTILINE)


def test_generated_packages_import_torch_triton_transformers_and_the_standard_library_alone() -> None:
    modules = {(file.parent.name, name) for file in GENERATED.glob("*/*.py") for name in IMPORT.findall(code_of(file))}
    assert {name for _, name in modules} >= {"torch", "triton", "transformers.utils", "dataclasses"}
    allowed = {"__future__", "torch", "triton", "transformers"} | sys.stdlib_module_names
    assert {(package, name) for package, name in modules if name.partition(".")[0] not in allowed} == set()


def test_generated_files_import_names_from_files_beside_them() -> None:
    """transformers copies the files that `from .file import name` names, and no others."""
    relative = {(file, *found) for file in GENERATED.glob("*/*.py") for found in RELATIVE.findall(code_of(file))}
    assert len(relative) > 1000
    assert [each for each in relative if each[1] and not (each[0].parent / f"{each[1]}.py").is_file()] == []
    assert [each for each in relative if not each[1]] == []


def code_of(file: Path) -> str:
    """The file without its texts of several lines."""
    return re.sub(r'"""(?s:.*?)"""', '""', file.read_text(encoding="utf-8"))


def some_of_every_kind() -> list[str]:
    """Packages that together hold every file of the runtime that any package holds."""
    held = {path.stem: {file.name for file in (GENERATED / path.stem).glob("runtime_*.py")} for path in SPEC_FILES}
    left, chosen = set().union(*held.values()), []
    while left:
        chosen.append(max(held, key=lambda name: len(held[name] & left)))
        left -= held[chosen[-1]]
    return chosen


@pytest.mark.slow
def test_generated_packages_stand_alone() -> None:
    """Imported with only their parent on the path, in a process in which the compiler cannot be found."""
    script = f"""
import importlib, sys
class Hidden:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "miras_compiler":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
for name in {some_of_every_kind()}:
    package = importlib.import_module(name)
    assert callable(getattr(package, "chunk_" + name))
    assert callable(getattr(package, "fused_recurrent_" + name))
    assert callable(getattr(package, "naive_recurrent_" + name))
"""
    environment = {**os.environ, "PYTHONPATH": str(GENERATED), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
