"""Specs that differ from one in a single field: where gradients are taken, a field of one part, or another kind in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec.checks import faults_of
from miras_compiler.spec.schema import Spec


def siblings(spec: Spec, part: str, blame: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys with other values for them: those that leave most of the rule as it is come first."""
    yield "chunk.gradient", "chunk_start"
    if part == "gates":
        yield f"gates.{blame}.per", "head"
    if part in KINDS:
        element = getattr(spec, part)
        for name, field in type(element).model_fields.items():
            yield from ((f"{part}.{name}", other) for other in _others(field.annotation, getattr(element, name)))
        others = [kind for kind in KINDS[part] if kind != element.kind]
        yield from ((f"{part}.kind", kind) for kind in others)
        yield from ((part, {"kind": kind}) for kind in others)


def _others(annotation: Any, value: Any) -> list[Any]:
    """The values of a switch that it does not have now; none of a field that is no switch."""
    choices = (True, False) if annotation is bool else get_args(annotation) if get_origin(annotation) is Literal else ()
    return [choice for choice in choices if choice != value]


def changed(spec: Spec, key: str, value: Any) -> Spec | None:
    """The spec with one key set, None where that is refused."""
    tree = spec.model_dump(by_alias=True, exclude_unset=True)
    *path, last = key.split(".")
    target = tree
    for part in path:
        target = target.setdefault(part, {})
    target[last] = value
    try:
        changed = Spec.unchecked(tree)
    except ValidationError:
        return None
    return None if faults_of(changed) else changed
