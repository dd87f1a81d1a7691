"""Tiles of a chunk: the coefficients are the formulas of docs/mathematics.md §7 for every kind of row, and a tile may be cut anywhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kit.expression_value import Array, random_leaves
from kit.paths import SPECS
from kit.spec_texts import edited, parsed
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.derive import derive_chunk_coefficients, derive_update_rule
from miras_compiler.derive.rule import describe_rule
from miras_compiler.ir.build import input_tile
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Node, TriangularSolve
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.ir.verify import verify_program
from miras_compiler.lower import build_program
from miras_compiler.lower.coefficients import Moment, TileCoefficients
from miras_compiler.spec import Spec, load_spec

C = 5
MOMENTUM = "optimizer: {kind: momentum}\n"
RULES: dict[str, Spec] = {
    "alpha": parsed(edited()),
    "neither": parsed(edited(("{kind: l2}\ngates", "{kind: none}\ngates"), ("  alpha: {}\n", ""))),
    "alpha and momentum": parsed(edited(("gates:", f"{MOMENTUM}gates:"), more="  mu: {}\n")),
    "momentum alone": parsed(edited(("{kind: l2}\ngates:", f"{{kind: none}}\n{MOMENTUM}gates:"), ("  alpha: {}\n", ""), more="  mu: {}\n")),
}
DECAYS: dict[str, list[float]] = {
    "between": [-0.2, -0.7, -0.1, -1.3, -0.4],
    "none": [0.0] * C,
    "a reset": [-0.2, -60.0, -0.1, 0.0, -0.4],
    "every reset": [-60.0] * C,
}


def tiles(spec: Spec) -> dict[str, Node]:
    """The coefficients of each kind of row and those at the end, as tiles over log_alpha, log_mu, eta and valid."""
    logs: dict[str, Node] = {gate: input_tile(f"log_{gate}", ("c",)) for gate in ("alpha", "mu") if gate in spec.gates}
    paths = derive_chunk_coefficients(describe_rule(spec))
    built = TileCoefficients(paths, logs, input_tile("eta", ("c",)), input_tile("valid", ("c",)), lambda node, name, letters: node)
    moments: tuple[Moment, ...] = ("after", "before", "decayed")
    outputs: dict[str, Node] = {}
    for moment in moments:
        outputs |= {f"beta {moment}": built.seen(input_tile("rows", ("c",)), lambda rows: rows, moment), f"G {moment}": built.G(moment)}
        reach = built.reach(moment)
        outputs |= {f"f {moment}": reach} if reach is not None else {}
    ends = {"f": paths.reach, "G": paths.G, "m": paths.m, "n": paths.n}
    outputs |= {f"{name} end": built.end(path, name, name) for name, path in ends.items() if path is not None}
    return outputs | {"beta end": built.kept(input_tile("state", ()))}


def literal(spec: Spec, log_alpha: list[float], log_mu: list[float], eta: Array) -> dict[str, Array]:
    """docs/mathematics.md §7, with loops. `before` is the moment before the token's write, `decayed` the same with alpha_t applied."""
    alpha = [math.exp(x) if "alpha" in spec.gates else 1.0 for x in log_alpha]
    mu = [math.exp(x) if "mu" in spec.gates else 0.0 for x in log_mu]

    def decay(gates: list[float], first: int, last: int) -> float:
        return math.prod(gates[first:last])

    def after(t: int) -> tuple[float, float, list[float]]:
        """beta_t, f_t and the row G_t of the state after t tokens."""
        reach = sum(decay(alpha, i, t) * decay(mu, 0, i) for i in range(1, t + 1))
        row = [sum(decay(alpha, i, t) * eta[j] * decay(mu, j + 1, i) for i in range(j + 1, t + 1)) for j in range(C)]
        return decay(alpha, 0, t), reach, row

    rows = {"after": [after(t + 1) for t in range(C)], "before": [after(t) for t in range(C)]}
    rows["decayed"] = [(alpha[t] * b, alpha[t] * f, [alpha[t] * g for g in row]) for t, (b, f, row) in enumerate(rows["before"])]
    found: dict[str, Any] = {}
    for moment, values in rows.items():
        beta, reach, weights = zip(*values, strict=True)
        found |= {f"beta {moment}": beta, f"f {moment}": reach, f"G {moment}": weights}
    beta_end, reach_end, weights_end = after(C)
    found |= {"beta end": beta_end, "f end": reach_end, "G end": weights_end}
    found |= {"m end": decay(mu, 0, C), "n end": [eta[j] * decay(mu, j + 1, C) for j in range(C)]}
    return {name: np.asarray(x) for name, x in found.items()}


@pytest.mark.parametrize("log_mu", DECAYS)
@pytest.mark.parametrize("log_alpha", DECAYS)
@pytest.mark.parametrize("rule", RULES)
def test_coefficient_tiles_are_the_formulas_of_the_mathematics(rule: str, log_alpha: str, log_mu: str) -> None:
    spec = RULES[rule]
    eta = np.array([0.5, 1.0, 0.0, 2.0, 0.3])
    values = {"log_alpha": DECAYS[log_alpha], "log_mu": DECAYS[log_mu], "eta": eta, "valid": np.ones(C), "rows": np.ones(C), "state": 1}
    found = interpret(verify_program(Program("coefficients", tiles(spec))), values)
    expected = literal(spec, DECAYS[log_alpha], DECAYS[log_mu], eta)
    for name, x in found.items():
        np.testing.assert_allclose(np.broadcast_to(x, expected[name].shape), expected[name], rtol=1e-13, atol=1e-200, err_msg=name)


def lowered(name: str, overrides: dict[str, Any] | None = None) -> Program:
    rule = derive_update_rule(load_spec(SPECS / f"{name}.yaml", overrides or {}))
    return build_program(rule, classify_parallel_form(rule, build_dependency_graph(rule)))


@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm", "memora"])
@pytest.mark.parametrize("decay", [-60.0, -1e4, -math.inf])
def test_log_decays_below_minus_sixty_are_read_as_minus_sixty(name: str, decay: float) -> None:
    """−inf is a full reset: no NaN, and the same numbers as −60."""
    program = lowered(name)
    values = random_leaves(program, {"c": 4, "k": 3, "n": 5, "v": 3}) | {"valid": np.ones(4)}
    values |= {leaf: np.array([-0.1, 0.0, -0.2, -0.3]) for leaf in values if leaf.startswith("log_") and leaf != "log_beta"}
    results = []
    for reset in (-60.0, decay):
        values["log_alpha"][2] = reset
        results.append(interpret(program, values))
    for output, x in results[0].items():
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(results[1][output], x, err_msg=output)


@pytest.mark.parametrize("name", ["titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention"])
@pytest.mark.parametrize("cut", [1, 3])
def test_a_tile_cut_in_two_is_the_same_function(name: str, cut: int) -> None:
    """The state behind the first part goes into the second; a chunk's entering state stays."""
    program, tokens = lowered(name), 5
    whole = random_leaves(program, {"c": tokens, "k": 3, "n": 4, "v": 3}) | {"valid": np.ones(tokens)}
    whole |= {leaf: -np.abs(x) for leaf, x in whole.items() if leaf.startswith("log_")}
    whole["eta"] = np.abs(whole["eta"]) / 10
    axes = {leaf.name: leaf.axes for leaf in leaves_of(program)} | {"valid": ("c",)}

    def part(at: slice) -> dict[str, Array]:
        return {leaf: x[at] if "c" in axes[leaf] else x for leaf, x in whole.items()}

    first = interpret(program, part(slice(0, cut)))
    second = interpret(program, part(slice(cut, tokens)) | {leaf: x for leaf, x in first.items() if leaf != "o"})
    together = interpret(program, whole)
    np.testing.assert_allclose(np.concatenate([first["o"], second["o"]]), together["o"], rtol=1e-9, atol=1e-9)
    for output in set(together) - {"o"}:
        np.testing.assert_allclose(second[output], together[output], rtol=1e-9, atol=1e-9, err_msg=output)


def test_one_tile_of_the_delta_rule_has_one_solve_and_a_frozen_one_none() -> None:
    names = ("gated_delta_net", "omega_delta", "titans_lmm")
    solves = {name: [n for n in nodes_of(lowered(name)) if isinstance(n, TriangularSolve)] for name in names}
    assert [len(found) for found in solves.values()] == [1, 1, 0]


@pytest.mark.parametrize("name", ["titans_lmm", "yaad", "moneta", "gated_delta_net", "linear_attention"])
def test_no_tile_of_a_dual_form_has_a_token_axis_and_both_axes_of_a_weight(name: str) -> None:
    assert not [tile for tile in nodes_of(lowered(name)) if per_token_weight(tile)]


def test_memora_forms_the_state_of_every_token() -> None:
    assert [tile for tile in nodes_of(lowered("memora")) if per_token_weight(tile)]


def per_token_weight(tile: Node) -> bool:
    axes = set(tile.axes)
    return bool(axes & {"c", "i", "j"}) and ({"k", "n"} <= axes or {"n", "v"} <= axes or {"k", "v"} <= axes)


def test_what_is_not_parallel_is_lowered_to_the_token_step() -> None:
    rule = derive_update_rule(load_spec(SPECS / "titans_lmm.yaml", {"chunk": {"gradient": "exact"}}))
    program = build_program(rule, classify_parallel_form(rule, build_dependency_graph(rule)))
    assert program is rule.step.program
    assert not {"c", "i", "j"} & {axis for tile in nodes_of(program) for axis in tile.axes}
