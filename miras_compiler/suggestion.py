"""The field of a spec, and its value, that would make a rule that runs token by token run in parallel.

Candidates come from the schema: where gradients are taken, then the fields of the part that is to blame, then another kind in its
place. Each is checked, derived and classified like any other spec; the first that is parallel is the suggestion. It is another function.
"""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.analysis.dependency_graph import DependencyGraph, build_dependency_graph
from miras_compiler.analysis.parallel_form import Kind, ParallelForm, classify_parallel_form
from miras_compiler.derive.update_rule import derive_update_rule
from miras_compiler.errors import SpecError
from miras_compiler.spec import Spec
from miras_compiler.spec.siblings import changed, siblings


def with_suggestion(spec: Spec, graph: DependencyGraph[str], form: ParallelForm) -> ParallelForm:
    """The verdict, and where it is token by token the change that would make it parallel, in a sentence."""
    if form.kind != "token_by_token":
        return form
    blame = form.blame or ""
    for key, value in siblings(spec, graph.nodes[blame]["origin"] if blame in graph else "", blame):
        kind = _form_of(changed(spec, key, value))
        if kind not in (None, "token_by_token"):
            written = f"{{kind: {value['kind']}}}" if isinstance(value, dict) else str(value).lower()
            told = f"{key}: {written} would make it {str(kind).replace('_', ' ')}, and another function"
            return replace(form, suggestion=told, change=(key, value))
    return replace(form, suggestion="no change of one field makes it parallel")


def _form_of(spec: Spec | None) -> Kind | None:
    """The parallel form of a spec, None for one that is refused."""
    try:
        rule = derive_update_rule(spec) if spec else None
    except SpecError:
        return None
    return classify_parallel_form(rule, build_dependency_graph(rule)).kind if rule else None
