"""A tile of tokens is its tokens one after another, in every way in which surprises depend on each other.

The token step knows nothing of the coefficients of a chunk; it is verified elsewhere, against the literal loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kit.expression_value import Array
from kit.paths import SPECS
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.derive import UpdateRule, derive_update_rule
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import State
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.lower import build_program
from miras_compiler.spec import load_spec

TOKENS = 5
LENGTHS = {"k": 3, "n": 4, "v": 3}
SOLVE, SUBSTITUTE = "triangular_solve", "forward_substitution"

HUBER_NORM = {"kind": "huber_norm", "delta": 1}
WINDOW_3 = {"kind": "l2", "scale": 2, "window": 3}
MOMENTUM = {"optimizer": {"kind": "momentum"}, "gates.mu": {}}
NESTEROV = {"optimizer": {"kind": "nesterov"}, "gates.mu": {}}
RESIDUAL = {"kind": "matrix", "residual": True}
BY_KEY, BY_VALUE = {"per": "key_channel"}, {"per": "value_channel"}


def loss(text: str) -> dict[str, Any]:
    return {"attentional_bias": {"kind": "formula", "loss": text}}


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "window": ("omega_delta", {}, SOLVE),
    "window, momentum": ("omega_delta", MOMENTUM, SOLVE),
    "window, nesterov, read before the write": ("omega_delta", {**NESTEROV, "chunk.read": "before_write"}, SOLVE),
    "window, no decay": ("omega_delta", {"retention": {"kind": "none"}, "gates": {"eta": {}, "gamma": {}}}, SOLVE),
    "window, decay and step per value": ("omega_delta", {"gates.alpha": BY_VALUE, "gates.eta": BY_VALUE}, SOLVE),
    "window, vector": ("vector_delta", {"attentional_bias": WINDOW_3, "gates.gamma": {}, "retention": {"kind": "l2"}}, SOLVE),
    "window, thresholds of their own": ("omega_huber", {"gates.delta": BY_VALUE, "gates.eta": BY_KEY}, SUBSTITUTE),
    "window, layer norm": ("omega_delta", {"memory": {"kind": "matrix", "norm": "layer"}}, SUBSTITUTE),
    "window, known surprises": ("swla", {}, "dual"),
    "window, known surprises, decay per key": ("swla", {"gates.alpha": BY_KEY}, "dual"),
    "window, known surprises, every state": ("swla", {"retention": {"kind": "sigmoid"}, "gates.alpha": BY_VALUE}, "dual_per_token"),
    "polynomial features, huber, the key added": (
        "huber_delta", {"feature_map": {"kind": "polynomial"}, "memory": RESIDUAL}, SUBSTITUTE,
    ),
    "window, on a grid": ("omega_net", {"feature_map": {"kind": "identity"}}, "dual"),
    "linear path, decay per key": ("sigmoid_memory", {"chunk.retention": "chunk_end", "gates.alpha": BY_KEY}, "dual"),
    "vector, huber": ("vector_huber", {}, SUBSTITUTE),
    "vector, momentum, a norm of channels": ("vector_huber", {**MOMENTUM, "attentional_bias": HUBER_NORM}, SUBSTITUTE),
    "huber, everything per value": ("value_gated_huber", {}, SUBSTITUTE),
    "huber, momentum, step per value": ("momentum_huber", {"gates.eta": BY_VALUE}, SUBSTITUTE),
    "nesterov, read before the write": ("nesterov_delta", {"chunk.read": "before_write"}, SOLVE),
    "slope of values": ("gated_delta_net", loss("sum(v**2 * (u - v)**2)"), SOLVE),
    "channels coupled": ("gated_delta_net", loss("sum(u - v)**2 + sum((u - v)**2)"), SUBSTITUTE),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_tile_is_its_tokens_one_after_another(case: str) -> None:
    name, overrides, kind = CASES[case]
    rule = derive_update_rule(load_spec(SPECS / f"{name}.yaml", overrides))
    form = classify_parallel_form(rule, build_dependency_graph(rule))
    assert form.kind == kind
    program = build_program(rule, form)
    tokens, state = drawn(rule)
    found = interpret(program, state | of_tile(tokens, program, rule.surprise.window))
    outputs = []
    for t in range(TOKENS):
        o, state = token(rule, tokens, state, t)
        outputs.append(o)
    found["o"] = found["o"].reshape(TOKENS, -1, LENGTHS["v"])[:, -1]  # on the last of a token's rows
    np.testing.assert_allclose(found["o"], np.stack(outputs), rtol=1e-10, atol=1e-10)
    for entry in set(found) - {"o"}:
        np.testing.assert_allclose(found[entry], state[entry], rtol=1e-10, atol=1e-10, err_msg=entry)


def drawn(rule: UpdateRule) -> tuple[dict[str, Array], dict[str, Array]]:
    """The values by token, and the state; in front of the rows of windows those of earlier tokens, the oldest of which is not there."""
    generator = np.random.default_rng(0)
    window = rule.surprise.window
    tokens, state = {}, {}
    for leaf in leaves_of(rule.step.program):
        name = leaf.name.removesuffix("_rows")
        axes = leaf.axes[1:] if name != leaf.name else leaf.axes
        shape = [LENGTHS[axis] for axis in axes]
        if isinstance(leaf, State) or name.startswith("ln_"):
            state[name] = generator.standard_normal(shape)
        elif name == "gamma":
            tokens[name] = generator.random((TOKENS, window))
        else:
            rows = TOKENS + (window - 1 if name != leaf.name else 0)
            tokens[name] = generator.standard_normal((rows, *shape))
            tokens[name] = -np.abs(tokens[name]) / 4 if name.startswith("log_") else tokens[name]
            tokens[name] = generator.random((rows, *shape)) if name in ("eta", "delta") else tokens[name]
    for t in range(window - 1):
        tokens["gamma"][t, t + window - 1 :] = 0  # older than the oldest token but one
    return tokens, state


def token(rule: UpdateRule, tokens: dict[str, Array], state: dict[str, Array], t: int) -> tuple[Array, dict[str, Array]]:
    """The output of token t and the state behind it; windows hold the oldest token first, `gamma` the newest."""
    window = rule.surprise.window
    rows = {"k", "v", *rule.measured_gates} if window > 1 else set()
    values = {f"{name}_rows": x[t : t + window] for name, x in tokens.items() if name in rows}
    values |= {name: x[t] for name, x in tokens.items() if name not in rows}
    values |= {"gamma_rows": tokens["gamma"][t, ::-1]} if window > 1 else {}
    found = interpret(rule.step.program, {**state, **values})
    return found["o"], state | {name: x for name, x in found.items() if name != "o"}


def of_tile(tokens: dict[str, Array], program: Program, window: int) -> dict[str, Array]:
    """All tokens at once: rows of windows as the tokens share them, or one window after another."""
    leaves = {leaf.name for leaf in leaves_of(program)}
    values = {**tokens, "valid": np.ones(TOKENS)}
    at = np.arange(TOKENS)[:, None] + np.arange(window)  # [token, row of its window]
    if "gamma" in leaves:
        return by_rows(tokens, at)
    order = at.ravel() if "owner" in leaves else np.arange(TOKENS + window - 1)
    values |= {f"{name}_rows": x[order] for name, x in tokens.items() if f"{name}_rows" in leaves and name != "gamma"}
    if window > 1:
        weights = np.zeros((TOKENS, TOKENS + window - 1))
        np.put_along_axis(weights, at, tokens["gamma"][:, ::-1], 1)
        values |= {"gamma_rows": tokens["gamma"][:, ::-1].ravel() if "owner" in leaves else weights}
        values |= {"owner": np.repeat(np.eye(TOKENS), window, 1)}
    return values


def by_rows(tokens: dict[str, Array], at: np.ndarray[Any, Any]) -> dict[str, Array]:
    """All rows of all windows: decays on a token's first, queries and momentum on its last."""
    window, number = at.shape[1], np.arange(TOKENS).repeat(at.shape[1])
    first, last = (np.arange(at.size) % window == row for row in (0, window - 1))
    values = {name: x[at.ravel()] if len(x) > TOKENS else x[number] for name, x in tokens.items() if name != "gamma"}
    values = {name: (x.T * first).T if name.startswith("log_") else x for name, x in values.items()}
    return values | {"gamma": tokens["gamma"][:, ::-1].ravel(), "valid": last * 1.0, "earlier": number[:, None] > number}
