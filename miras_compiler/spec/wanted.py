"""The error of a library function for a value of the wrong type: it names the call that makes the right one."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from miras_compiler.errors import InputError, short
from miras_compiler.spec.schema import Spec


def check_is_spec(value: object, caller: str) -> None:
    """Raises InputError, with the call to write instead, where `value` is no Spec."""
    if isinstance(value, Spec):
        return
    if isinstance(value, str) and ("\n" in value or (":" in value.removesuffix(".yaml") and "/" not in value)):
        given, instead = "the text of one", f"{caller}(parse_spec(text, 'my_spec.yaml'))"
    elif isinstance(value, str | PathLike):
        given, instead = f"the path {short(repr(str(value)))}", f"{caller}(load_spec({short(repr(str(value)))}))"
    elif isinstance(value, Mapping):
        given, instead = "a mapping of keys", f"{caller}(build_spec({{...}}))"
    else:
        given, instead = f"{type(value).__name__} {short(repr(value))}", f"{caller}(load_spec('specs/yaad.yaml'))"
    raise InputError(f"{caller} takes a Spec, not {given}; write {instead}")


def check_is_path(value: object, caller: str) -> None:
    """Raises InputError where `value` names no file."""
    if isinstance(value, str | PathLike):
        return
    if isinstance(value, Spec):
        raise InputError(f"{caller} takes the path of a spec file, and this is a Spec already; pass it on as it is")
    if isinstance(value, Mapping):
        raise InputError(f"{caller} takes the path of a spec file, not a mapping of keys; write build_spec({{...}})")
    raise InputError(f"{caller} takes the path of a spec file, not {type(value).__name__} {short(repr(value))}")


def check_is_tree(value: object, caller: str) -> None:
    """Raises InputError where `value` is no mapping of keys."""
    if isinstance(value, Mapping):
        return
    if isinstance(value, Spec):
        raise InputError(f"{caller} takes a mapping of keys, and this is a Spec already; pass it on as it is")
    if isinstance(value, str | PathLike):
        raise InputError(f"{caller} takes a mapping of keys, not text; load_spec reads a file, parse_spec a text")
    raise InputError(f"{caller} takes a mapping of keys, not {type(value).__name__} {short(repr(value))}")
