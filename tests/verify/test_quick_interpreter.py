"""Triton's interpreter finds all that it replaces, and no more than that is gone through."""

from __future__ import annotations

import inspect
import json

import pytest

from miras_compiler.verify.interpreter import quicken_interpreter

tl = pytest.importorskip("triton.language")


def test_the_members_that_the_interpreter_replaces_are_found_and_elsewhere_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.runtime import interpreter

    monkeypatch.setattr(interpreter, "inspect", inspect)
    quicken_interpreter()
    for place in (tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base):
        replaced = [(name, member) for name, member in inspect.getmembers(place) if tl.core.is_builtin(member)]
        assert interpreter.inspect.getmembers(place) == replaced != []
    assert interpreter.inspect.getmembers(json) == inspect.getmembers(json)
    assert interpreter.inspect.signature is inspect.signature
