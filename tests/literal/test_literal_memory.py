"""The literal memories, feature maps and formulas, on numbers small enough to do by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from miras_compiler.verify.literal.feature_map import COEFFICIENTS, feature_width, features
from miras_compiler.verify.literal.formula_value import formula_value
from miras_compiler.verify.literal.memory import ACTIVATIONS, predict, weight_shapes

PLAIN: dict[str, Any] = {"norm": "none", "residual": False}


def tensor(*numbers: float, shape: tuple[int, ...]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, 1, *shape)


def mlp(layers: int, activation: str, **others: object) -> dict[str, Any]:
    return {"kind": "mlp", "layers": layers, "expansion": 2, "activation": activation, **PLAIN, **others}


@pytest.mark.parametrize(
    ("activation", "value"),
    [
        ("gelu", 0.5 * (1 + math.erf(0.5 / math.sqrt(2))) * 0.5),
        ("gelu_tanh", 0.25 * (1 + math.tanh(math.sqrt(2 / math.pi) * (0.5 + 0.044715 * 0.125)))),
        ("silu", 0.5 / (1 + math.exp(-0.5))),
        ("relu", 0.5),
        ("tanh", math.tanh(0.5)),
        ("identity", 0.5),
    ],
)
def test_activation_at_one_half(activation: str, value: float) -> None:
    assert float(ACTIVATIONS[activation](torch.tensor(0.5, dtype=torch.float64))) == pytest.approx(value, rel=1e-14)


def test_every_activation_of_the_schema_is_here() -> None:
    assert set(ACTIVATIONS) == {"gelu", "gelu_tanh", "silu", "relu", "tanh", "identity"}


def test_a_matrix_memory_multiplies_from_the_left() -> None:
    x, weight = tensor(1, 2, shape=(2,)), tensor(1, 2, 3, 4, 5, 6, shape=(2, 3))
    assert predict({"kind": "matrix", **PLAIN}, {"W": weight}, x, x, {}).flatten().tolist() == [9, 12, 15]


def test_an_mlp_has_no_activation_after_its_last_layer() -> None:
    x, weights = tensor(1, shape=(1,)), {name: tensor(number, shape=(1, 1)) for name, number in {"W1": -2, "W2": 3, "W3": -5}.items()}
    assert float(predict(mlp(1, "relu"), {"W1": weights["W1"]}, x, x, {})) == -2
    assert float(predict(mlp(2, "relu"), weights, -x, x, {})) == 6
    assert float(predict(mlp(3, "relu"), weights, -x, x, {})) == -30


def test_swiglu_gates_the_third_matrix_by_silu_of_the_first() -> None:
    x, weights = tensor(2, shape=(1,)), {name: tensor(number, shape=(1, 1)) for name, number in {"W1": 0.5, "W2": 7, "W3": 3}.items()}
    by_hand = 1 / (1 + math.exp(-1)) * 6 * 7
    assert float(predict({"kind": "swiglu", **PLAIN}, weights, x, x, {})) == pytest.approx(by_hand)


@pytest.mark.parametrize("residual", [False, True])
def test_layer_norm_runs_over_the_value_axis_and_the_raw_row_is_added_after_it(residual: bool) -> None:
    parameters = {"ln_weight": tensor(2, 3, shape=(2,))[0], "ln_bias": tensor(0.5, -0.5, shape=(2,))[0]}
    memory = {"kind": "matrix", "norm": "layer", "residual": residual}
    mapped, raw, weight = tensor(1, shape=(1,)), tensor(10, 20, shape=(2,)), tensor(1, 5, shape=(1, 2))
    sigma = math.sqrt(4 + 1e-6)
    by_hand = [-2 / sigma * 2 + 0.5 + residual * 10, 2 / sigma * 3 - 0.5 + residual * 20]
    assert predict(memory, {"W": weight}, mapped, raw, parameters).flatten().tolist() == pytest.approx(by_hand, rel=1e-14)


def test_rms_norm_does_not_center() -> None:
    parameters = {"ln_weight": torch.ones(1, 2, dtype=torch.float64), "ln_bias": torch.zeros(1, 2, dtype=torch.float64)}
    x, weight = tensor(1, shape=(1,)), tensor(1, 5, shape=(1, 2))
    f = predict({"kind": "matrix", "norm": "rms", "residual": False}, {"W": weight}, x, x, parameters)
    assert f.flatten().tolist() == pytest.approx([1 / math.sqrt(13 + 1e-6), 5 / math.sqrt(13 + 1e-6)])


def test_a_vector_memory_multiplies_channel_by_channel() -> None:
    x, weight = tensor(2, 3, shape=(2,)), tensor(5, -7, shape=(2,))
    assert predict({"kind": "vector", "norm": "none", "residual": True}, {"W": weight}, x, x, {}).flatten().tolist() == [12, -18]


@pytest.mark.parametrize("kind", ["vector", "matrix", "mlp", "swiglu"])
def test_several_rows_at_once_are_the_rows_one_by_one(kind: str) -> None:
    memory = {"kind": kind, "layers": 2, "expansion": 2, "activation": "gelu", "norm": "layer", "residual": True}
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    weights = {name: normal(2, 3, *shape) for name, shape in weight_shapes(memory, 4, 4, 4).items()}
    parameters = {"ln_weight": normal(3, 4), "ln_bias": normal(3, 4)}
    rows = normal(2, 3, 5, 4)
    each = torch.stack([predict(memory, weights, row, row, parameters) for row in rows.unbind(2)], 2)
    torch.testing.assert_close(predict(memory, weights, rows, rows, parameters), each)


def test_polynomial_features_are_the_scaled_monomials_by_degree() -> None:
    """√(|b|!/b!): 1 for squares, √2 for mixed products of two."""
    coefficients = {COEFFICIENTS: torch.tensor([7, 2, 0.5], dtype=torch.float64)}
    mapped = features({"kind": "polynomial", "degree": 2}, tensor(3, 5, shape=(2,)), coefficients)
    root = math.sqrt(2)
    assert mapped.flatten().tolist() == pytest.approx([7, 6, 10, 4.5, 7.5 * root, 12.5])


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_polynomial_features_make_a_polynomial_kernel(degree: int) -> None:
    generator = torch.Generator().manual_seed(degree)
    q, k = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    c = torch.rand(degree + 1, generator=generator, dtype=torch.float64)
    feature_map = {"kind": "polynomial", "degree": degree}
    phi_q, phi_k = (features(feature_map, x, {COEFFICIENTS: c}) for x in (q, k))
    assert phi_q.shape[-1] == feature_width(feature_map, 3) == math.comb(3 + degree, degree)
    product = (q * k).sum(-1)
    torch.testing.assert_close((phi_q * phi_k).sum(-1), sum(c[i] ** 2 * product**i for i in range(degree + 1)))


def test_the_hidden_width_is_a_multiple_of_the_raw_key_width() -> None:
    assert weight_shapes({"kind": "vector"}, 5, 5, 5) == {"W": (5,)}
    assert weight_shapes({"kind": "matrix"}, 7, 5, 4) == {"W": (7, 5)}
    assert weight_shapes(mlp(3, "relu"), 7, 5, 4) == {"W1": (7, 8), "W2": (8, 8), "W3": (8, 5)}
    assert weight_shapes({"kind": "swiglu", "expansion": 2}, 7, 5, 4) == {"W1": (7, 8), "W2": (8, 5), "W3": (7, 8)}


@pytest.mark.parametrize(
    ("feature_map", "value"),
    [
        ({"kind": "identity"}, [-1.0, 2.0]),
        ({"kind": "elu_plus_one"}, [math.exp(-1), 3.0]),
        ({"kind": "relu"}, [0.0, 2.0]),
        ({"kind": "softmax"}, [1 / (1 + math.exp(3)), 1 / (1 + math.exp(-3))]),
        ({"kind": "formula", "map": "x*x + 1"}, [2.0, 5.0]),
        ({"kind": "formula", "map": "1"}, [1.0, 1.0]),
    ],
)
def test_feature_map_of_minus_one_and_two(feature_map: dict[str, str], value: list[float]) -> None:
    assert features(feature_map, tensor(-1, 2, shape=(2,))).flatten().tolist() == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-u**2", [-9.0, -16.0]),
        ("2**-1 * u", [1.5, 2.0]),
        ("u**(1/2)", [math.sqrt(3), 2.0]),
        ("sum(u) / 1e1", [0.7]),
        ("max(u, 3.5) - min(u, 3.5)", [0.5, 0.5]),
        ("norm(u) + max(u)", [9.0]),
        ("sum(1)", [2.0]),
        ("1 / (u - 3)", [0.0, 1.0]),
        ("softplus(-u) - log(1 + exp(-u))", [0.0, 0.0]),
    ],
)
def test_formula_at_three_and_four(text: str, value: list[float]) -> None:
    result = formula_value(text, {"u": tensor(3, 4, shape=(2,))})
    assert result.flatten().tolist() == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    "text", ["u.sum()", "__import__('os')", "u[0]", "lambda: u", "w + 1", "sum(u, u)", "True", "u if u else u", "f'{u}'"]
)
def test_what_is_outside_the_grammar_is_never_evaluated(text: str) -> None:
    with pytest.raises(ValueError, match="outside the grammar"):
        formula_value(text, {"u": tensor(3, 4, shape=(2,))})
