"""Triton's interpreter does once whatever has the same result every time, and has the same results."""

from __future__ import annotations

import inspect
import json
from types import FunctionType
from typing import Any

import pytest

from miras_compiler.verify.interpreter import once_a_kernel, quicken_interpreter

tl = pytest.importorskip("triton.language")


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, quickened for one test."""
    from triton.runtime import interpreter

    for name in ("inspect", "_patch_lang", "_get_np_dtype"):
        monkeypatch.setattr(interpreter, name, getattr(interpreter, name))
    for kind in (tl.block_type, tl.tensor):
        monkeypatch.setattr(kind, "__init__", kind.__init__)
    quicken_interpreter()
    return interpreter


def test_the_members_that_the_interpreter_replaces_are_found_and_elsewhere_all(interpreter: Any) -> None:
    for place in (tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base):
        replaced = [(name, member) for name, member in inspect.getmembers(place) if tl.core.is_builtin(member)]
        assert interpreter.inspect.getmembers(place) == replaced != []
    assert interpreter.inspect.getmembers(json) == inspect.getmembers(json)
    assert interpreter.inspect.signature is inspect.signature


def test_members_are_replaced_once_until_the_kernel_ends() -> None:
    """For every set of modules that functions read; those that read the same share it."""

    class Scope:
        def restore(self) -> None:
            calls.append("restore")

    def patch(function: FunctionType) -> Scope:
        calls.append(function.__name__)
        return Scope()

    def reading(name: str, **names: object) -> FunctionType:
        return FunctionType((lambda: None).__code__, names, name)

    calls: list[str] = []
    patched = once_a_kernel(patch, (tl, tl.core))
    kernel, device, library = reading("kernel", tl=tl, json=json), reading("device", lang=tl), reading("library", core=tl.core)
    for _ in range(2):
        scope = patched(kernel)
        for function in (device, library, device, library):
            patched(function)
        scope.restore()
    assert calls == ["kernel", "library", "restore"] * 2


def test_types_and_tensors_are_what_triton_makes_of_them(interpreter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    elements = [tl.float32, tl.bfloat16, tl.int1, tl.pointer_type(tl.float32), tl.pointer_type(tl.float32, 3)]
    quick = [facts(element, shape) for _ in range(2) for element in elements for shape in ([8], [4, 16])]
    dtypes = [interpreter._get_np_dtype(tl.block_type(element, [8])) for _ in range(2) for element in elements]
    monkeypatch.undo()
    assert quick == [facts(element, shape) for _ in range(2) for element in elements for shape in ([8], [4, 16])]
    assert dtypes == [interpreter._get_np_dtype(tl.block_type(element, [8])) for _ in range(2) for element in elements]


def facts(element: Any, shape: list[int]) -> list[dict[str, str]]:
    """All that a type of tiles and a tensor of it say of themselves; the type of elements by its parts, too."""
    kind = tl.block_type(element, [tl.constexpr(length) for length in shape])
    tensor, number = tl.tensor("handle", kind), tl.tensor("handle", element)
    parts = (kind, kind.element_ty, tensor, number, tensor.type)
    return [{name: repr(value) for name, value in vars(each).items()} for each in parts]
