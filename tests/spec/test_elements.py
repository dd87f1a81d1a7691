"""The design space is that of docs/mathematics.md: every kind is there, and its mathematics is that of the tables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sympy as sp
from pydantic import TypeAdapter

from kit.expression_value import Array, gelu, slope, value
from miras_compiler.elements.base import exact
from miras_compiler.elements.bias import AnyBias, AttentionalBias
from miras_compiler.elements.feature_map import AnyFeatureMap, FeatureMap
from miras_compiler.elements.kinds import KINDS
from miras_compiler.elements.memory import AnyMemory, Memory, MLPMemory, Product
from miras_compiler.elements.retention import AnyRetention, Retention
from miras_compiler.expressions import activations, symbols
from miras_compiler.expressions.symbols import X

KINDS_OF_THE_PAPERS = {
    "memory": "vector matrix mlp swiglu",
    "feature_map": "identity elu_plus_one softmax relu formula polynomial",
    "attentional_bias": "dot_product l2 lp huber huber_norm yaad_switch robust_shift kl log_cosh epsilon_insensitive formula",
    "retention": "none l2 kl sigmoid lq lq_printed elastic_net_ftrl bregman elastic_net weight_norm f_divergence",
    "optimizer": "gradient_descent momentum nesterov implicit muon preconditioned",
}
ELEMENTS = [element for kinds in KINDS.values() for element in kinds.values()]

U = np.array([0.7, -1.3, 0.25, 2.0])
V = np.array([-0.4, 0.6, 0.2, 0.5])
E = U - V  # no coordinate at a kink: 1.1, -1.9, 0.05, 1.5
NORM = np.sqrt(np.sum(E**2))


def bias(**fields: Any) -> AttentionalBias:
    element: AttentionalBias = TypeAdapter(AnyBias).validate_python(fields)
    return element


def retention(**fields: Any) -> Retention:
    element: Retention = TypeAdapter(AnyRetention).validate_python(fields)
    return element


def softmax(x: Array) -> Array:
    return np.asarray(np.exp(x) / np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("role", KINDS_OF_THE_PAPERS)
def test_every_kind_of_the_papers_is_in_the_design_space(role: str) -> None:
    assert set(KINDS[role]) == set(KINDS_OF_THE_PAPERS[role].split())


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.__name__)
def test_every_kind_has_its_formula_and_its_citation_in_one_line(element: Any) -> None:
    for text in (element.formula, element.citation):
        assert text
        assert text.isprintable()


GRADIENTS: dict[str, tuple[dict[str, Any], Array]] = {  # ∂ℓ/∂u as docs/mathematics.md §4 tabulates it
    "dot_product": ({}, -V),
    "l2": ({"scale": 3.0}, 3 * E),
    "lp": ({"p": 3.0}, 3 * np.sign(E) * np.abs(E) ** 2),
    "lp, p = 1": ({"kind": "lp", "p": 1.0}, np.sign(E)),
    "lp, p = 1.5": ({"kind": "lp", "p": 1.5}, 1.5 * np.sign(E) * np.sqrt(np.abs(E))),
    "huber": ({"delta": 1.2}, np.clip(E, -1.2, 1.2)),
    "huber_norm, inside": ({"kind": "huber_norm", "delta": 9.0}, E),
    "huber_norm": ({"delta": 1.2}, 1.2 * E / NORM),
    "robust_shift": ({"shift": 0.7}, E + 0.7 * E / NORM),
    "kl": ({}, softmax(U) - softmax(V)),
    "log_cosh": ({}, np.tanh(E)),
    "epsilon_insensitive": ({"epsilon": 0.1}, np.sign(E) * (np.abs(E) > 0.1)),
    "formula": ({"loss": "sum(abs(u - v)**3)/3 + norm(u - v)"}, E * np.abs(E) + E / NORM),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_error_of_a_bias_has_the_derivative_of_the_table(name: str) -> None:
    fields, expected = GRADIENTS[name]
    element = bias(**{"kind": name, **fields})
    assert element.derivative() is None
    np.testing.assert_allclose(slope(lambda u: value(element.loss(), u=u, v=V), U), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "yaad_switch", "scale": 2.0, "delta": 9.0}, 2 * E),
        ({"kind": "yaad_switch", "scale": 2.0, "delta": 1.2}, 1.2 * np.sign(E)),
        ({"kind": "lp", "p": 3.0, "smooth": True}, 3 * np.tanh(10 * E) * (E**2 + 1e-6)),
        ({"kind": "lp", "p": 2.5, "smooth": True, "slope": 4.0}, 2.5 * np.tanh(4 * E) * (E**2 + 1e-6) ** 0.75),
    ],
)
def test_a_printed_derivative_that_is_no_gradient_is_that_of_the_table(fields: dict[str, Any], expected: Array) -> None:
    derivative = bias(**fields).derivative()
    assert derivative is not None
    np.testing.assert_allclose(value(derivative, u=U, v=V), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["huber", "huber_norm", "yaad_switch"])
def test_a_threshold_is_a_gate_or_a_number(kind: str) -> None:
    gate, number = bias(kind=kind, delta="beta"), bias(kind=kind, delta=1.2)
    assert (gate.gates(), number.gates(), bias(kind=kind).gates()) == (("beta",), (), ("delta",))
    assert value(gate.loss(), u=U, v=V, beta=1.2) == pytest.approx(value(number.loss(), u=U, v=V), rel=1e-12)


def test_a_formula_reads_the_gates_that_it_names_and_a_window_reads_gamma() -> None:
    assert bias(kind="formula", loss="sum(c*u) + b*norm(v)", window=4).gates() == ("gamma", "b", "c")


def test_a_formula_is_kept_in_one_line() -> None:
    assert bias(kind="formula", loss="sum(u\n  - v)\n").model_dump()["text"] == "sum(u - v)"


DUAL = np.array([[0.8, -0.3], [-1.5, 0.05], [0.6, 2.0]])  # axes input, output
P = 1.5 / 0.5  # the dual exponent of q = 1.5
MIRROR_MAPS: dict[str, tuple[dict[str, Any], Array]] = {  # ψ(A) as docs/mathematics.md §5 tabulates it
    "none": ({}, DUAL),
    "l2": ({}, DUAL),
    "sigmoid": ({}, 1 / (1 + np.exp(-DUAL))),
    "lq": ({"q": 1.5}, 0.5 * np.sign(DUAL) * np.abs(DUAL) ** (P - 1) / np.sum(np.abs(DUAL) ** P) ** ((P - 2) / P)),
    "elastic_net_ftrl": ({"threshold": 0.2}, np.sign(DUAL) * np.maximum(0, np.abs(DUAL) - 0.2)),
}


@pytest.mark.parametrize("kind", MIRROR_MAPS)
def test_the_mirror_map_of_the_table_inverts_the_gradient_of_the_regularizer(kind: str) -> None:
    fields, weights = MIRROR_MAPS[kind]
    generator = retention(kind=kind, **fields).generator()
    assert generator is not None
    flat = weights.ravel()  # these regularizers run over a whole weight matrix
    gradient = slope(lambda w: value(generator, w=w), flat)
    inside = flat != 0  # at 0 the regularizer of the elastic net has a kink
    np.testing.assert_allclose(gradient[inside], DUAL.ravel()[inside], rtol=1e-6)


def test_entropy_on_a_simplex_is_inverted_by_a_scaled_softmax_up_to_the_multiplier() -> None:
    element = retention(kind="kl", total=3.0)
    generator = element.generator()
    assert generator is not None
    assert (element.slice_axis(), element.constraint()) == ("input", 3)
    weights = 3 * softmax(DUAL.T).T  # every column sums to 3 over the input axis
    multiplier = slope(lambda w: value(generator, w=w), weights) - DUAL
    np.testing.assert_allclose(multiplier, np.broadcast_to(multiplier[:1], DUAL.shape), rtol=1e-6)


def test_the_printed_map_of_moneta_divides_by_a_power_of_the_norm() -> None:
    element = retention(kind="lq_printed", q=4.0)
    printed = element.printed_mirror_map()
    assert printed is not None
    assert (element.generator(), element.start) == (None, "required")
    flat = DUAL.ravel()
    np.testing.assert_allclose(value(printed, a=flat), flat / np.sum(flat**4) ** 0.5, rtol=1e-12)
    np.testing.assert_allclose(value(printed, a=2 * flat), value(printed, a=flat) / 2, rtol=1e-12)


def forward(memory: Memory, x: Array, weights: dict[str, Array]) -> Array:
    """f(x), step by step as the memory lists them."""
    rows = {"x": x}
    for step in memory.forward():
        rows[step.out] = rows[step.left] @ weights[step.weight] if isinstance(step, Product) else value(step.expr, **rows)
    return rows["f"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "matrix"}, lambda x, w: x @ w["W"]),
        ({"kind": "mlp", "layers": 1}, lambda x, w: x @ w["W1"]),
        ({"kind": "mlp"}, lambda x, w: gelu(x @ w["W1"]) @ w["W2"]),
        ({"kind": "mlp", "layers": 3, "activation": "relu"}, lambda x, w: np.maximum(np.maximum(x @ w["W1"], 0) @ w["W2"], 0) @ w["W3"]),
        ({"kind": "mlp", "activation": "identity"}, lambda x, w: x @ w["W1"] @ w["W2"]),
        ({"kind": "swiglu"}, lambda x, w: (x @ w["W1"] / (1 + np.exp(-x @ w["W1"])) * (x @ w["W3"])) @ w["W2"]),
    ],
    ids=lambda fields: " ".join(map(str, fields.values())) if isinstance(fields, dict) else "",
)
def test_a_memory_maps_a_row_as_the_table_says(fields: dict[str, Any], expected: Callable[[Array, dict[str, Array]], Array]) -> None:
    memory: Memory = TypeAdapter(AnyMemory).validate_python(fields)
    random = np.random.default_rng(7)
    widths = {"k": 4, "v": 3, "n": 5, "n1": 5, "n2": 6}
    weights = {name: random.normal(size=(widths[rows], widths[columns])) for name, rows, columns in memory.weights()}
    x = random.normal(size=4)
    np.testing.assert_allclose(forward(memory, x, weights), expected(x, weights), rtol=1e-12)


def test_the_hidden_axes_of_a_deep_memory_join_its_weights() -> None:
    for layers in (1, 2, 3, 5):
        weights = MLPMemory(layers=layers).weights()
        assert (weights[0].rows, weights[-1].columns, len(weights)) == ("k", "v", layers)
        assert all(one.columns == other.rows for one, other in pairwise(weights))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "identity"}, U),
        ({"kind": "elu_plus_one"}, np.where(U > 0, U + 1, np.exp(U))),
        ({"kind": "relu"}, np.maximum(U, 0)),
        ({"kind": "softmax"}, softmax(U)),
        ({"kind": "formula", "map": "exp(x - max(x))/sum(exp(x - max(x)))"}, softmax(U)),
    ],
    ids=lambda fields: fields["kind"] if isinstance(fields, dict) else "",
)
def test_a_feature_map_is_the_function_that_it_names(fields: dict[str, Any], expected: Array) -> None:
    element: FeatureMap = TypeAdapter(AnyFeatureMap).validate_python(fields)
    np.testing.assert_allclose(value(element.expression(), x=U), expected, rtol=1e-12)


ENTRYWISE = [
    *(getattr(symbols, name) for name in "sigmoid softplus normal_cdf step relu magnitude signum".split()),
    *(getattr(activations, name) for name in "gelu gelu_tanh silu".split()),
]


@pytest.mark.parametrize("function", ENTRYWISE, ids=lambda function: function.__name__)
def test_every_function_knows_its_derivative(function: Any) -> None:
    expr = function(X)
    expected = slope(lambda x: value(expr, x=x), U)
    np.testing.assert_allclose(np.broadcast_to(value(sp.diff(expr, X), x=U), U.shape), expected, atol=1e-8)


@pytest.mark.parametrize("name", "gelu gelu_slope gelu_tanh gelu_tanh_slope silu silu_slope".split())
def test_the_definition_of_an_activation_takes_numbers(name: str) -> None:
    definition = getattr(activations, name).definition
    at_half = value(definition(sp.Rational(1, 2)), x=U)
    np.testing.assert_allclose(at_half, value(definition(X), x=np.full_like(U, 0.5)).flat[0], rtol=1e-12)
    assert definition(sp.Integer(0)).is_number


@pytest.mark.parametrize("name", ["smaller", "larger"])
def test_the_smaller_and_the_larger_pass_their_derivative_to_the_one_that_counts(name: str) -> None:
    expr = getattr(symbols, name)(X**2, 1 - X)
    np.testing.assert_allclose(value(sp.diff(expr, X), x=U), slope(lambda x: value(expr, x=x), U), atol=1e-8)


@pytest.mark.parametrize("number", [0.02, 4 / 3, 1e-7, 0.1 + 0.2, 1e12, 123456.789, 1e-300])
def test_a_number_becomes_the_fraction_that_reads_back_as_it(number: float) -> None:
    assert float(exact(number)) == number
    assert (exact(0.02), exact(4 / 3)) == (sp.Rational(1, 50), sp.Rational(4, 3))
