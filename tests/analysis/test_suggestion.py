"""For a rule that runs token by token, the message names one change of one field that makes it parallel; setting it does."""

from __future__ import annotations

from typing import Any

import pytest

from kit.paths import SPECS
from miras_compiler.analysis import ParallelForm, build_dependency_graph, classify_parallel_form
from miras_compiler.derive import derive_update_rule
from miras_compiler.spec import build_spec, load_spec
from miras_compiler.spec.overrides import parse_override
from miras_compiler.suggestion import with_suggestion

MOMENTUM = {"optimizer": {"kind": "momentum"}, "gates.mu": {}}
MUON = {"optimizer": {"kind": "muon"}, "chunk.gradient": "chunk_start"}
SIGMOID = {"retention": {"kind": "sigmoid", "order": "before_gradient"}}

CASES: dict[str, tuple[str, dict[str, Any], str]] = {  # spec, the changes in it, the key that the suggestion names
    "deep and exact": ("titans_exact", {}, "chunk.gradient"),
    "a window on it": ("omega_net", {"chunk.gradient": "exact"}, "chunk.gradient"),
    "nonlinear map": ("gated_delta_net", {"retention": {"kind": "sigmoid"}}, "chunk.gradient"),
    "nonlinear map of the decayed state": ("gated_delta_net", SIGMOID, "retention.kind"),
    "momentum, decay per channel": ("kda", {**MOMENTUM, "gates.alpha": {"per": "key_channel"}}, "gates.alpha.per"),
    "orthogonal steps": ("titans_linear", {"optimizer": {"kind": "muon"}}, "chunk.gradient"),
    "orthogonal steps of a size per channel": ("titans_linear", {**MUON, "gates.eta": {"per": "key_channel"}}, "gates.eta.per"),
    "primal": ("elastic_net_memory", {}, "retention"),
    "primal, on a grid": ("elastic_net_memory", {"chunk.gradient": "chunk_start"}, "retention.kind"),
    "divergence": ("chi_square_memory", {}, "retention"),
}  # fmt: skip


def told(name: str, overrides: dict[str, Any]) -> ParallelForm:
    spec = load_spec(SPECS / f"{name}.yaml", overrides)
    rule = derive_update_rule(spec)
    graph = build_dependency_graph(rule)
    return with_suggestion(spec, graph, classify_parallel_form(rule, graph))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_is_suggested_makes_it_parallel(case: str) -> None:
    name, overrides, key = CASES[case]
    form = told(name, overrides)
    assert form.kind == "token_by_token"
    change, found, rest = form.suggestion.partition(" would make it ")
    assert found, form.suggestion
    suggested, value = parse_override(change.replace(": ", "=", 1))
    assert suggested == key
    after = told(name, {**overrides, suggested: value})
    assert after.kind != "token_by_token"
    assert rest == f"{after.kind.replace('_', ' ')}, and another function"
    assert after.suggestion == ""


def test_two_decays_under_momentum_cannot_be_mended_by_one_field() -> None:
    assert told("dfw", MOMENTUM).suggestion == "no change of one field makes it parallel"


def test_a_spec_that_was_built_in_python_is_told_the_same() -> None:
    tree = {"name": "x", "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "l2"}, "retention": {"kind": "sigmoid"}}
    spec = build_spec({**tree, "gates": {"alpha": {}, "eta": {}}})
    rule = derive_update_rule(spec)
    graph = build_dependency_graph(rule)
    form = with_suggestion(spec, graph, classify_parallel_form(rule, graph))
    assert form.suggestion == "chunk.gradient: chunk_start would make it dual per token, and another function"
