"""What one field of a spec would have to say for a rule that runs token by token to run in parallel.

Candidates come from the schema: where gradients are taken, then the fields of the part that is to blame, then another kind in its
place. Each is checked, derived and classified like any other spec, and the first that is parallel is told. It is another function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from miras_compiler.analysis.dependency_graph import DependencyGraph, build_dependency_graph
from miras_compiler.analysis.parallel_form import Kind, ParallelForm, classify_parallel_form
from miras_compiler.derive.update_rule import UpdateRule, derive_update_rule
from miras_compiler.elements.kinds import KINDS
from miras_compiler.errors import SpecError
from miras_compiler.spec import Spec
from miras_compiler.spec.checks import faults_of


def with_suggestion(rule: UpdateRule, graph: DependencyGraph[str], form: ParallelForm) -> ParallelForm:
    """The verdict, and where it is token by token the change that would make it parallel, in a sentence."""
    if form.kind != "token_by_token":
        return form
    blame = form.blame or ""
    for key, value in _candidates(rule.spec, graph.nodes[blame]["origin"] if blame in graph else "", blame):
        kind = _form_of(_changed(rule.spec, key, value))
        if kind not in (None, "token_by_token"):
            written = f"{{kind: {value['kind']}}}" if isinstance(value, dict) else str(value).lower()
            told = f"{key}: {written} would make it {str(kind).replace('_', ' ')}, and another function"
            return replace(form, suggestion=told)
    return replace(form, suggestion="no change of one field makes it parallel")


def _candidates(spec: Spec, part: str, blame: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys with what they could say instead: what leaves most of the rule as it is comes first."""
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


def _changed(spec: Spec, key: str, value: Any) -> Spec | None:
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


def _form_of(spec: Spec | None) -> Kind | None:
    """The parallel form of a spec, None for one that is refused."""
    try:
        rule = derive_update_rule(spec) if spec else None
    except SpecError:
        return None
    return classify_parallel_form(rule, build_dependency_graph(rule)).kind if rule else None
