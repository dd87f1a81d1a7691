"""The package `miras_compiler` itself: light to import, and its exports are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import miras_compiler

HEAVY = {"torch", "sympy", "numpy", "networkx", "pydantic", "matplotlib", "rich", "typer"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, miras_compiler, miras_compiler.cli; print(*sys.modules)"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & set(child.stdout.split())


@pytest.mark.parametrize("name", miras_compiler.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(miras_compiler, name) is not None
    assert name in dir(miras_compiler)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = miras_compiler.nonsense
