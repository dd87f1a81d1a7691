"""Triton is used where it is there, and its absence or a failing import is reported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from miras_compiler.runtime.runtime_triton import why_no_triton


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `__init__.py` of a Triton that stands before any other."""
    for name in [name for name in sys.modules if name.split(".")[0] == "triton"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "triton").mkdir()
    return tmp_path / "triton" / "__init__.py"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            'raise ImportError("libcuda.so.1: cannot open shared object file")',
            "Triton cannot be imported: ImportError: libcuda.so.1: cannot open shared object file",
        ),
        ('raise RuntimeError("0 active drivers")', "Triton cannot be imported: RuntimeError: 0 active drivers"),
        ("", "Triton cannot be imported: No module named 'triton.language'"),
        ("import missing_driver", "Triton cannot be imported: No module named 'missing_driver'"),
    ],
)
def test_a_triton_that_cannot_be_imported_counts_as_none_and_says_why(broken: Path, code: str, reason: str) -> None:
    broken.write_text(code, encoding="utf-8")
    assert why_no_triton() == reason


def test_without_triton_the_reason_is_that_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "triton"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert why_no_triton() == "Triton is not installed"


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_a_triton_that_can_be_imported_has_no_reason_against_it() -> None:
    assert why_no_triton() == ""
