"""Costs are counted on the tile program: positive, exact for products that can be counted by hand, and scaling as they must."""

from __future__ import annotations

from functools import cache

import pytest

from kit.paths import SPECS
from miras_compiler.analysis import CostLine, build_dependency_graph, classify_parallel_form, estimate_cost
from miras_compiler.analysis.cost import axis_lengths, operations
from miras_compiler.analysis.parallel_form import Kind
from miras_compiler.derive import derive_update_rule
from miras_compiler.derive.rule import describe_rule
from miras_compiler.gpus import GPU, H100
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.program import Program
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec, load_spec

NAMES = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")
FORWARD, BOTH, STATE = "matrix products, forward", "matrix products, forward and backward", "state"


@cache
def programs(name: str) -> tuple[Kind, Program, Program]:
    rule = derive_update_rule(load_spec(SPECS / f"{name}.yaml"))
    form = classify_parallel_form(rule, build_dependency_graph(rule))
    program = run_passes(build_program(rule, form))
    return form.kind, program, run_passes(differentiate(program))


def costs(name: str, gpu: GPU = H100, **overrides: object) -> dict[str, CostLine]:
    """The lines by their `what`; a program does not depend on lengths, so that overrides of these reuse it."""
    spec = load_spec(SPECS / f"{name}.yaml", {key.replace("_", ".", 1): value for key, value in overrides.items()})
    return {line.what: line for line in estimate_cost(describe_rule(spec), *programs(name), gpus=(gpu,))}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_costs_are_positive_and_the_backward_pass_costs_more(name: str) -> None:
    found = costs(name)
    assert all(line.unit and (line.value > 0 or "solves" in what) for what, line in found.items())
    assert 2 * found[FORWARD].value < found[BOTH].value < 5 * found[FORWARD].value


def test_products_of_linear_attention_are_those_counted_by_hand() -> None:
    """C tokens, K = V = 64: q kᵀ (2 C² K), P v (2 C² V), q W and kᵀ v (2 C K V each)."""
    assert costs("linear_attention")[FORWARD].value == 2 * 64 * (64 + 64) + 2 * 2 * 64 * 64
    assert costs("linear_attention")[STATE] == CostLine(STATE, 64 * 64 * 4, "bytes / head")


def test_the_delta_rule_adds_two_products_with_the_keys_and_a_solve() -> None:
    linear, delta = costs("linear_attention"), costs("gated_delta_net")
    assert delta[FORWARD].value - linear[FORWARD].value == 2 * 64 * 64 + 2 * 64 * 64  # k W, k kᵀ
    assert delta["triangular solves, forward"].value == 64 * 64  # half a product


def test_a_rule_with_several_writes_per_token_costs_each_of_them() -> None:
    """The same products for every row that is written, and a tile holds half as many tokens."""
    assert costs("delta_product")[FORWARD].value == 2 * costs("gated_delta_net")[FORWARD].value


def test_an_axis_with_a_second_name_keeps_its_length() -> None:
    """P = X Xᵀ runs over the shorter side of every weight: keys of the first weights of a gated unit, values of the last."""
    spec = load_spec(SPECS / "lact.yaml", {"layer.heads": 1, "layer.head_dim": 8, "layer.value_dim": 4, "memory.expansion": 2})
    chunk_end = derive_update_rule(spec).step.chunk_end
    assert chunk_end is not None
    per_step = {side: 2 * 2 * side**2 * 16 + 2 * side**3 for side in (8, 4)}  # X Xᵀ and P X, and P P, with a hidden width of 16
    assert operations(chunk_end, axis_lengths(spec, 1)).products == 5 * (2 * per_step[8] + per_step[4])


@pytest.mark.parametrize("name", ["titans_lmm", "yaad", "moneta"])  # whose tiles are their chunks
def test_with_longer_tiles_products_grow_and_moved_bytes_shrink(name: str) -> None:
    small, large = costs(name, chunk_size=16), costs(name, chunk_size=64)
    assert large[FORWARD].value > small[FORWARD].value
    saved = "saved for backward, one state per tile"
    assert small[saved].value == pytest.approx(4 * large[saved].value, rel=0.01)
    assert small[STATE] == large[STATE]


def test_a_state_holds_weights_momentum_and_the_weights_that_entered_the_chunk() -> None:
    spec: Spec = load_spec(SPECS / "titans_lmm.yaml")
    assert axis_lengths(spec, 64)["n"] == 256
    weights = 2 * 64 * 256 * 4
    assert costs("titans_lmm")[STATE].value == 3 * weights  # weights, momentum, and the weights that entered the chunk
    assert costs("yaad")[STATE].value == 2 * weights


def test_the_roofline_is_that_of_the_slowest_part_of_the_named_device() -> None:
    line = next(line for what, line in costs("titans_lmm").items() if what.startswith("roofline"))
    assert "H100" in line.what
    slow_memory = GPU("slow", H100.products, H100.others, 1e9)
    slow = costs("titans_lmm", slow_memory)["roofline of the forward pass, slow"]
    moved = costs("titans_lmm")["tokens, and the state once per tile, moved"].value
    assert slow.value == pytest.approx(moved / 1e9 * 1e12, rel=0.01)
    assert slow.value > line.value


def test_a_rule_that_runs_token_by_token_is_counted_for_one_token() -> None:
    rule = derive_update_rule(load_spec(SPECS / "gated_delta_net.yaml", {"retention": {"kind": "sigmoid"}}))
    program = rule.step.program
    found = {line.what: line.value for line in estimate_cost(rule, "token_by_token", program, run_passes(differentiate(program)))}
    assert found[FORWARD] == 2 * 2 * 64 * 64
    assert found["saved for backward, one state per tile"] == found[STATE] == 64 * 64 * 4


@pytest.mark.parametrize(
    ("overrides", "sides"),
    [({}, [("n", "k"), ("v", "n")]), ({"feature_map": {"kind": "identity"}}, [("k", "n"), ("v", "n")])],
    ids=["561 features, hidden width 128", "32 channels, hidden width 128"],
)
def test_newton_schulz_steps_run_over_the_shorter_side_of_a_weight(overrides: dict[str, object], sides: list[tuple[str, str]]) -> None:
    """ATLAS at head width 32: the rows of its first weight are features of keys, not keys."""
    rule = describe_rule(load_spec(SPECS / "atlas.yaml", overrides))
    assert [rule.shorter_axis_first(weight) for weight in rule.weights] == sides
