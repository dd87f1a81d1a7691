"""Tile programs against the literal model: a tile computes the function of the token loop, its adjoint the gradients of autograd through
that loop.

Both are interpreted in numpy, one head of one sequence, from a state in the middle of a chunk; tolerances are those of float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.paths import SPECS
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.derive import derive_update_rule
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import load_spec
from miras_compiler.verify.inputs import Inputs, InputShape, draw_inputs
from miras_compiler.verify.literal import LiteralModel

Array = NDArray[np.float64]
POSITION, TOKENS = 3, 6
DEEP: dict[str, Any] = {"kind": "mlp", "layers": 2, "expansion": 2, "activation": "gelu", "norm": "layer", "residual": True}
GATES: dict[str, Any] = {"alpha": {}, "eta": {}}
L2 = {"kind": "l2"}

ROW_WISE: list[dict[str, Any]] = [
    {"kind": "huber", "delta": 0.5},
    {"kind": "lp", "p": 1},
    {"kind": "formula", "loss": "sum(log(cosh(u - v))) + norm(u)"},
]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")},
    "swiglu": ("titans_lmm", {"memory": {"kind": "swiglu", "expansion": 2}}),
    "three layers": ("titans_lmm", {"memory": {**DEEP, "layers": 3}}),
    "rms norm": ("yaad", {"memory": {**DEEP, "norm": "rms"}}),
    **{f"activation {name}": ("yaad", {"memory": {**DEEP, "activation": name}}) for name in ("relu", "tanh", "silu", "gelu_tanh")},
    **{f"read {read}": ("titans_lmm", {"chunk.read": read}) for read in ("before_write", "chunk_start")},
    **{f"read {read}, path": ("moneta", {"chunk.read": read}) for read in ("before_write", "chunk_start")},
    **{f"read {read}, per token": ("memora", {"chunk.read": read}) for read in ("before_write", "chunk_start")},
    **{
        f"retention {retention['kind']}": ("memora", {"retention": retention})
        for retention in ({"kind": "sigmoid"}, {"kind": "lq", "q": 1.5}, {"kind": "elastic_net_ftrl", "threshold": 0.2})
    },
    **{f"slice {axis}": ("memora", {"retention": {"kind": "kl", "slice": axis, "total": 3.0}}) for axis in ("output", "all")},
    "momentum with a mirror map": ("titans_lmm", {"retention": {"kind": "sigmoid"}}),
    "momentum on a linear path": ("titans_lmm", {"retention": {"kind": "sigmoid"}, "chunk.retention": "chunk_end"}),
    "momentum without decay": ("titans_lmm", {"retention": {"kind": "none"}, "gates": {"eta": {}, "mu": {}}}),
    "titans_linear": (
        "gated_delta_net",
        {"retention": L2, "optimizer": {"kind": "momentum"}, "gates": {**GATES, "mu": {}}, "attentional_bias": {"kind": "l2", "scale": 2}},
    ),
    "titans_linear before_gradient": ("gated_delta_net", {"optimizer": {"kind": "momentum"}, "gates": {**GATES, "mu": {}}}),
    "delta rule after_gradient": ("gated_delta_net", {"retention": L2, "chunk.read": "before_write"}),
    "delta rule without decay": ("gated_delta_net", {"retention": {"kind": "none"}, "gates": {"eta": {}}}),
    "momentum of dot products": (
        "linear_attention", {"retention": L2, "optimizer": {"kind": "momentum"}, "gates": {**GATES, "mu": {}}},
    ),
    **{f"features {name}": ("gated_delta_net", {"feature_map": {"kind": name}}) for name in ("elu_plus_one", "relu", "softmax")},
    "features of a deep memory": ("yaad", {"feature_map": {"kind": "softmax"}}),
    "token by token: sigmoid": ("gated_delta_net", {"retention": {"kind": "sigmoid"}}),
    "token by token: deep": ("titans_lmm", {"chunk": {"gradient": "exact"}}),
    "row by row: kl": ("gated_delta_net", {"attentional_bias": {"kind": "kl"}}),
    **{f"row by row: {bias['kind']}": ("gated_delta_net", {"attentional_bias": bias}) for bias in ROW_WISE},
    "norm of a matrix": ("titans_lmm", {"memory": {"kind": "matrix", "norm": "layer"}}),
}  # fmt: skip


class Lowered(NamedTuple):
    fields: dict[str, Any]
    program: Program
    adjoint: Program
    token: Program
    tiled: bool  # a tile of tokens, or one token


@cache
def lowered(case: str) -> Lowered:
    name, overrides = CASES[case]
    spec = load_spec(SPECS / f"{name}.yaml", overrides)
    rule = derive_update_rule(spec)
    program = run_passes(build_program(rule, classify_parallel_form(rule, build_dependency_graph(rule))))
    tiled = any("c" in leaf.axes for leaf in leaves_of(program))
    return Lowered(spec.model_dump(by_alias=True), program, run_passes(differentiate(program)), rule.step.trace, tiled)


def drawn(case: Lowered, tokens: int) -> Inputs:
    """One head of one sequence, in the middle of a chunk. A residual needs keys as wide as values."""
    shape = InputShape(1, tokens, 1, 4, 4) if case.fields["memory"]["residual"] else InputShape(1, tokens, 1, 3, 5)
    return draw_inputs(case.fields, shape, seed=1, eta=0.4, position=POSITION)


def literal(fields: dict[str, Any], given: Inputs) -> dict[str, Tensor]:
    """The output and the next state of the token loop, by the names of the program's outputs."""
    output, state, _ = LiteralModel(fields)(given.q, given.k, given.v, given.gates, given.parameters, given.state)
    return {"o": output, **{name: x for name, x in state.items() if x.is_floating_point() and not name.endswith("_start")}}


def leaf_values(given: Inputs, tiled: bool) -> dict[str, Array]:
    """The same numbers under the names of the program's leaves."""
    found = {name.removeprefix("state "): one_head(name, x, tiled) for name, x in given.leaves().items()}
    return {**found, "valid": np.ones(given.length)}


def one_head(name: str, x: Tensor, tiled: bool) -> Array:
    """Batch and head are dropped, and where a program has no token axis, the token."""
    if name.startswith("ln_"):
        array = x[0]
    elif name.startswith("state ") or x.dim() == 2 or name in STATES:
        array = x[0, 0]
    else:
        array = x[0, :, 0] if tiled else x[0, 0, 0]
    return array.detach().numpy()


STATES = frozenset(f"W{i}{suffix}" for i in ("", 1, 2, 3) for suffix in ("", "_momentum", "_start"))


@pytest.mark.parametrize("case", CASES)
def test_a_tile_computes_what_the_token_loop_computes(case: str) -> None:
    compiled = lowered(case)
    given = drawn(compiled, TOKENS if compiled.tiled else 1)
    found = interpret(compiled.program, leaf_values(given, compiled.tiled))
    expected = literal(compiled.fields, given)
    assert set(found) == set(expected)
    for name, x in expected.items():
        assert relative(found[name], one_head(name, x, compiled.tiled)) < 1e-10, name


@pytest.mark.parametrize("case", CASES)
def test_the_token_step_is_one_turn_of_the_loop_and_measures_what_it_measures(case: str) -> None:
    compiled = lowered(case)
    given = drawn(compiled, 1)
    found = interpret(compiled.token, leaf_values(given, tiled=False))
    _, _, measures = LiteralModel(compiled.fields)(given.q, given.k, given.v, given.gates, given.parameters, given.state)
    expected = {name: one_head(name, x, tiled=False) for name, x in literal(compiled.fields, given).items()}
    expected |= {name: x[0, 0, 0].numpy() for name, x in measures._asdict().items()}
    assert set(found) == set(expected)
    for name, x in expected.items():
        assert relative(found[name], x) < 1e-10, name


@pytest.mark.parametrize("case", CASES)
def test_the_adjoint_of_a_tile_is_autograd_through_the_token_loop(case: str) -> None:
    compiled = lowered(case)
    given = drawn(compiled, TOKENS if compiled.tiled else 1).tracked()
    outputs = literal(compiled.fields, given)
    generator = torch.Generator().manual_seed(2)
    seeds = {name: torch.randn(x.shape, generator=generator, dtype=x.dtype) for name, x in outputs.items()}
    leaves = given.leaves()
    gradients = torch.autograd.grad(list(outputs.values()), list(leaves.values()), list(seeds.values()), allow_unused=True)
    values = leaf_values(given, compiled.tiled) | {f"d_{name}": one_head(name, seed, compiled.tiled) for name, seed in seeds.items()}
    found = interpret(compiled.adjoint, values)
    assert len(found) >= 5
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        expected = one_head(name, torch.zeros_like(leaf) if gradient is None else gradient, compiled.tiled)
        output = f"d_{name.removeprefix('state ')}"
        if output in found:
            assert relative(found[output], expected) < 1e-10, name
        else:
            assert not expected.any(), name


@pytest.mark.parametrize("case", [case for case in CASES if "token by token" not in case])
def test_padded_tokens_before_and_behind_change_nothing(case: str) -> None:
    """Their eta and their log decays are 0, valid is 0; the entries of their rows do not matter."""
    compiled = lowered(case)
    values = leaf_values(drawn(compiled, TOKENS), compiled.tiled)
    axes = {leaf.name: leaf.axes for leaf in leaves_of(compiled.program)}
    padded = {name: padded_by_hand(name, x) if "c" in axes[name] else x for name, x in values.items() if name in axes}
    alone, among = interpret(compiled.program, values), interpret(compiled.program, padded)
    assert relative(among["o"][2:-3], alone["o"]) < 1e-12
    for name in set(alone) - {"o"}:
        assert relative(among[name], alone[name]) < 1e-12, name


def padded_by_hand(name: str, x: Array) -> Array:
    """Two tokens before and three behind."""
    fill = 0.0 if name in ("eta", "valid", "log_alpha", "log_mu") else 0.7
    return np.pad(x, [(2, 3), *[(0, 0)] * (x.ndim - 1)], constant_values=fill)


def relative(found: Array, expected: Array) -> float:
    """The largest error, relative to the largest entry (1 where all are smaller)."""
    assert found.shape == expected.shape
    return float(np.max(np.abs(found - expected)) / max(1.0, float(np.max(np.abs(expected)))))
