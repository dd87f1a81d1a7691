"""The parallel form of a rule, the value that the verdict blames, and the axes that can be split: a table of specs with one change each."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.expression_value import random_leaves
from kit.paths import SPECS
from kit.random_programs import LENGTHS, Simplified, Step, build_program, recipes
from miras_compiler.analysis import ParallelForm, build_dependency_graph, classify_parallel_form, separable_axes
from miras_compiler.analysis.affinity import degrees
from miras_compiler.analysis.parallel_form import EXPLANATION, annotate
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.spec import load_spec

MOMENTUM = {"optimizer": {"kind": "momentum"}, "gates": {"alpha": {}, "eta": {}, "mu": {}}}
LAYER_NORM = {"memory": {"kind": "matrix", "norm": "layer"}}
HUBER_NORM = {"attentional_bias": {"kind": "huber_norm", "delta": 1}}
NO_DECAY = {"retention": {"kind": "none"}, "gates": {"eta": {}}}
BY_KEY = {"per": "key_channel"}
SQUARE = {"retention": {"kind": "bregman", "generator": "w**2"}}
EXACT = {"chunk": {"gradient": "exact"}}
LINEAR_IN_THE_DUAL_STATE = {
    "memory": {"kind": "mlp", "activation": "identity"},
    "attentional_bias": {"kind": "dot_product"},
    "retention": {"kind": "lq", "q": 2, "order": "before_gradient"},
}
Case = tuple[str, dict[str, Any], str, tuple[str, ...]]

FORMS: dict[str, Case] = {
    "titans_lmm": ("titans_lmm", {}, "dual", ("chunk_start", "titans_lmm.yaml:11")),
    "yaad": ("yaad", {}, "dual", ("chunk_start", "yaad.yaml:11")),
    "moneta": ("moneta", {}, "dual", ("chunk_end", "linear path")),
    "memora": ("memora", {}, "dual_per_token", ("W₁ = 16 softmax_K(A₁)", "(retention, ", "memora.yaml:5")),
    "gated_delta_net": ("gated_delta_net", {}, "triangular_solve", ("attentional_bias l2", "gated_delta_net.yaml:4")),
    "linear_attention": ("linear_attention", {}, "dual", ("dot_product", "linear_attention.yaml:5")),
    "delta rule, after_gradient": ("gated_delta_net", {"retention": {"kind": "l2"}}, "triangular_solve", ("l2",)),
    "momentum": ("gated_delta_net", MOMENTUM, "triangular_solve", ("l2",)),
    "no decay": ("gated_delta_net", NO_DECAY, "triangular_solve", ("l2",)),
    "lp with p = 2": ("gated_delta_net", {"attentional_bias": {"kind": "lp", "p": 2}}, "triangular_solve", ("lp",)),
    "dot product": ("gated_delta_net", {"attentional_bias": {"kind": "dot_product"}}, "dual", ("does not depend on the state",)),
    "residual": ("gated_delta_net", {"memory": {"kind": "matrix", "residual": True}}, "triangular_solve", ("l2",)),
    "mapped dot product": (
        "gated_delta_net",
        {"attentional_bias": {"kind": "dot_product"}, "retention": {"kind": "sigmoid"}},
        "dual_per_token",
        ("W = sigmoid(A)", "--set retention"),
    ),
    "read at the chunk's start": ("memora", {"chunk.read": "chunk_start"}, "dual", ("chunk_start",)),
    "sigmoid": ("gated_delta_net", {"retention": {"kind": "sigmoid"}}, "token_by_token", ("sigmoid(A[t−1])", "(retention, ")),
    "map that is the identity": ("gated_delta_net", {"retention": {"kind": "lq", "q": 2}}, "triangular_solve", ("l2",)),
    "affine map": ("gated_delta_net", SQUARE, "token_by_token", ("W = A / 2 is read in place of the dual state", "(retention, ")),
    "affine map, huber": ("huber_delta", SQUARE, "token_by_token", ("W = A / 2 is read in place of the dual state",)),
    "affine map, dot product": ("linear_attention", {**SQUARE, "gates.alpha": {}}, "dual_per_token", ("W = A / 2 is read in place",)),
    "lq": ("gated_delta_net", {"retention": {"kind": "lq", "q": 1.5}}, "token_by_token", ("(retention, ",)),
    "lq with q = 2": ("sigmoid_memory", {"retention": {"kind": "lq", "q": 2}}, "dual", ("retention lq is the identity here",)),
    "half a square": (
        "sigmoid_memory", {"retention": {"kind": "bregman", "generator": "w**2/2"}}, "dual", ("bregman is the identity here",),
    ),
    "deep and exact": ("titans_lmm", EXACT, "token_by_token", ("h₁ = gelu(z₁)", "(memory, ", "titans_lmm.yaml:3")),
    "deep, chunk of one": ("yaad", {"chunk.size": 1}, "token_by_token", ("(memory, ",)),
    "deep and linear": (
        "titans_lmm",
        EXACT | {"memory": {"kind": "mlp", "activation": "identity"}},
        "token_by_token",
        ("token by token, because",),
    ),
    "deep and linear in the dual state": ("titans_lmm", EXACT | LINEAR_IN_THE_DUAL_STATE, "token_by_token", ("of the layers behind",)),
    "swiglu, exact": ("titans_lmm", EXACT | {"memory": {"kind": "swiglu"}}, "token_by_token", ("silu(z₁)",)),
    "huber": (
        "gated_delta_net", {"attentional_bias": {"kind": "huber", "delta": 0.5}}, "forward_substitution", ("|e| > 1/2", "row by row"),
    ),
    "huber_norm": ("gated_delta_net", HUBER_NORM, "forward_substitution", ("‖e‖ > 1", "(attentional_bias, ")),
    "kl": ("gated_delta_net", {"attentional_bias": {"kind": "kl"}}, "forward_substitution", ("softmax(u) − softmax(v)",)),
    "layer norm": ("gated_delta_net", LAYER_NORM, "forward_substitution", ("(memory, ",)),
    "vector": ("vector_huber", {}, "forward_substitution", ("|e| > 1/2",)),
    "vector, l2": ("vector_delta", {}, "triangular_solve", ("one unit lower triangular system per value channel",)),
    "step per channel under momentum": ("momentum_huber", {"gates.eta": BY_KEY}, "forward_substitution", ("row by row",)),
    "decay per channel under momentum": ("momentum_huber", {"gates.alpha": BY_KEY}, "token_by_token", ("α per channel (--set",)),
    "window": ("omega_delta", {}, "triangular_solve", ("and its windows (attentional_bias.window, ", "omega_delta.yaml:4")),
    "window, deep": ("omega_net", EXACT, "token_by_token", ("(memory, ",)),
    "channels coupled": (
        "gated_delta_net", {"attentional_bias": {"kind": "formula", "loss": "sum(u - v)**2"}}, "forward_substitution", ("couples",),
    ),
    "sign": ("gated_delta_net", {"attentional_bias": {"kind": "lp", "p": 1}}, "forward_substitution", ("sign(e)",)),
}  # fmt: skip


@cache
def derived(case: str) -> tuple[UpdateRule, ParallelForm]:
    name, overrides, *_ = FORMS[case]
    rule = derive_update_rule(load_spec(SPECS / f"{name}.yaml", overrides))
    return rule, classify_parallel_form(rule, build_dependency_graph(rule))


@pytest.mark.parametrize("case", FORMS)
def test_the_form_is_told_with_its_reason_and_where_the_spec_says_so(case: str) -> None:
    _, _, kind, said = FORMS[case]
    _, form = derived(case)
    assert form.kind == kind
    assert form.exact
    for part in said:
        assert part in form.reason
    assert kind in EXPLANATION


@pytest.mark.parametrize("case", FORMS)
def test_who_is_blamed_is_a_value_of_the_graph_that_the_reason_writes_out(case: str) -> None:
    rule, form = derived(case)
    graph = annotate(build_dependency_graph(rule), form)
    assert (graph.graph["form"], graph.graph["blame"]) == (form.kind, form.blame)
    assert (form.blame is None) == (form.kind in ("dual", "triangular_solve"))
    if form.blame is not None:
        data = graph.nodes[form.blame]
        assert data["text"] in form.reason or data["label"] in form.reason


def test_a_verdict_names_the_file_of_the_spec_wherever_it_lies() -> None:
    _, form = derived("titans_lmm")
    location = str(SPECS / "titans_lmm.yaml")
    assert f"{location}:11" in form.reason
    assert "(chunk.gradient: chunk_start, t.yaml:11)" in form.named("t.yaml", location).reason
    assert form.named("t.yaml", "") == form


@pytest.mark.parametrize(
    ("case", "axes"),
    [
        ("gated_delta_net", ("v",)),
        ("linear_attention", ("v",)),
        ("momentum", ("v",)),
        ("huber", ("v",)),
        ("sigmoid", ("v",)),
        ("huber_norm", ()),
        ("kl", ()),
        ("layer norm", ()),
        ("lq", ()),
        ("titans_lmm", ()),
        ("memora", ()),
    ],
)
def test_the_value_axis_can_be_split_unless_the_recurrence_sums_over_it(case: str, axes: tuple[str, ...]) -> None:
    assert separable_axes(derived(case)[0]) == axes


@given(recipes(), st.integers(0, 2**32), st.sets(st.sampled_from(["a", "b", "w", "g", "s", "l"]), min_size=1))
@settings(max_examples=60)
def test_what_is_called_affine_is_affine_in_all_that_varies_together(steps: list[Step], seed: int, varying: set[str]) -> None:
    """Second differences along a line vanish where the degree is at most affine, first differences where nothing varies."""
    program = build_program(steps, Simplified)
    leaves = leaves_of(program)
    at, direction = random_leaves(program, LENGTHS, seed), random_leaves(program, LENGTHS, seed + 1)
    points = [interpret(program, {name: x + step * direction[name] * (name in varying) for name, x in at.items()}) for step in (-1, 0, 1)]
    for name, tile in program.outputs.items():
        before, middle, after = (point[name] for point in points)
        scale = 1e-9 * (1 + float(np.abs(middle).max()) + float(np.abs(after).max()))
        found = set(degrees(tile, {leaf: leaf.name in varying for leaf in leaves}).values()) if tile not in leaves else {"affine"}
        if "nonlinear" not in found:
            assert float(np.abs(before - 2 * middle + after).max()) < scale
        if found <= {"none"}:
            assert float(np.abs(after - middle).max()) < scale


def test_a_jump_is_not_affine_though_its_slope_is_0() -> None:
    """A sign on the recurrence may not be taken for a constant."""
    _, form = derived("sign")
    assert form.blame == "du"


def test_the_token_step_has_no_token_axis_whatever_the_form() -> None:
    programs: list[Program] = [derived(case)[0].step.program for case in ("deep and exact", "titans_lmm")]
    assert [sorted({axis for leaf in leaves_of(program) for axis in leaf.axes}) for program in programs] == [["k", "n", "v"]] * 2
