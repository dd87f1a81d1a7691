"""From a file, a text or a mapping to a checked spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from miras_compiler.elements.complaints import complaints
from miras_compiler.errors import Fault, InputError
from miras_compiler.expressions.formula import MAX_BYTES
from miras_compiler.spec.checks import check_spec, faults_of
from miras_compiler.spec.fault import spec_error
from miras_compiler.spec.overrides import with_overrides
from miras_compiler.spec.schema import Spec
from miras_compiler.spec.shipped import SpecFile, find_spec
from miras_compiler.spec.source import Source, position, read_source
from miras_compiler.spec.wanted import check_is_path, check_is_tree

STAND_INS: dict[str, Any] = {  # for required parts that are missing or wrong, while the others are checked
    "name": "spec",
    "memory": {"kind": "matrix"},
    "attentional_bias": {"kind": "l2"},
    "gates": {},
}


def load_spec(path: str | Path, overrides: Mapping[str, object] | None = None) -> Spec:
    """The spec in a file, or of a name that comes with the compiler, such as yaad, with dotted keys overridden.

    Raises InputError if it cannot be read and SpecError if it is wrong.
    """
    check_is_path(path, "load_spec")
    file = find_spec(path)
    return parse_spec(read_text(file, "name a spec file, or a spec by its name, such as yaad"), file.place, overrides)


def read_text(file: SpecFile, remedy: str) -> str:
    """The text of a file, at most a byte longer than is taken; InputError, with a remedy, where there is none."""
    try:
        with file.path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file.place}: cannot be read: {error.strerror}; {remedy}") from None
    return _decoded(data, file.place)


def _decoded(data: bytes, place: str) -> str:
    """The text of a file; raises InputError at the first byte that is not UTF-8, unless it was cut off with the rest of a long file."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")  # the object lacks a byte order mark
        if len(data) > MAX_BYTES and error.reason == "unexpected end of data":
            return before + "\ufffd"
        line, column = position(before, len(before))
        at = error.start + len(data) - len(error.object)
        what = f"byte {at}, 0x{data[at]:02x}, is not UTF-8"
        raise InputError(f"{place}:{line}:{column}: {what}; save the spec as UTF-8 text") from None


def parse_spec(text: str, filename: str, overrides: Mapping[str, object] | None = None) -> Spec:
    """The spec in a text; `filename` is its name in messages. Raises SpecError with every problem."""
    source = with_overrides(read_source(text, filename), overrides or {})
    return build_spec(source.tree, source)


def build_spec(tree: Mapping[str, Any], source: Source | None = None) -> Spec:
    """The checked spec of a mapping of keys; raises SpecError with every problem."""
    check_is_tree(tree, "build_spec")
    try:
        spec = Spec.unchecked(tree)
    except ValidationError as error:
        raise spec_error(faults_of_tree(error, tree), source) from None
    if source is not None:
        spec.written_in(source)
    check_spec(spec)
    return spec


def faults_of_tree(error: ValidationError, tree: Any) -> list[Fault]:
    """Everything that is wrong with a tree of which pydantic says `error`."""
    faults = complaints(error, tree, Spec)
    return [*faults, *_faults_elsewhere(tree, faults)] if isinstance(tree, Mapping) else faults


def _faults_elsewhere(tree: Mapping[str, Any], faults: list[Fault]) -> list[Fault]:
    """The faults that the checks find in the well-formed parts of a spec, though other parts are malformed."""
    inside_gates = {str(fault.path[1]) for fault in faults if fault.path[0] == "gates" and len(fault.path) > 2}
    wrong = frozenset(str(fault.path[0]) for fault in faults if fault.path[0] != "gates" or len(fault.path) < 3)
    right = {key: value for key, value in tree.items() if key in Spec.model_fields and key not in wrong}
    if inside_gates and "gates" in right:
        right["gates"] = {name: {} if name in inside_gates else gate for name, gate in right["gates"].items()}
    return faults_of(Spec.unchecked({**STAND_INS, **right}), wrong)
