"""∂ℓ/∂u of every attentional bias comes out of its loss: against `torch.func.grad` of the literal losses, at e = 0 too, and by form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from torch import Tensor

from kit.expression_value import value
from miras_compiler.derive.chain_rule import derive_bias_derivative, in_residual, row_gradient, tidy
from miras_compiler.derive.formula_text import formula
from miras_compiler.derive.rule import describe_rule
from miras_compiler.elements.kinds import KINDS
from miras_compiler.expressions.symbols import E, Power0, RowMax, RowSum, U, V, letter, magnitude, power0, row_norm, signum, where_positive
from miras_compiler.spec import build_spec
from miras_compiler.verify.literal.bias import has_printed_derivative, loss, printed_derivative

WIDTH = 5
BIASES: list[dict[str, Any]] = [
    {"kind": "dot_product"},
    {"kind": "l2"},
    {"kind": "l2", "scale": 2.0},
    *({"kind": "lp", "p": p} for p in (1.0, 1.5, 2.0, 3.0, 4.0)),
    {"kind": "lp", "p": 3.0, "smooth": True, "slope": 10.0},
    {"kind": "huber", "delta": 0.7},
    {"kind": "huber", "delta": "delta"},
    {"kind": "huber_norm", "delta": 1.1},
    {"kind": "huber_norm", "delta": "delta"},
    {"kind": "yaad_switch", "delta": "delta", "scale": 2.0},
    {"kind": "robust_shift", "shift": 0.6},
    {"kind": "kl"},
    {"kind": "log_cosh"},
    {"kind": "epsilon_insensitive", "epsilon": 0.4},
    *(
        {"kind": "formula", "loss": text}
        for text in (
            "sum(log(cosh(u - v)))",
            "norm(u - v)",
            "sum(abs(u - v)**1.5) / (1 + sum(v**2))",
            "log(sum(exp(u - v)))",
            "max(u - v)**2",
            "norm(u - v) * sum(tanh(u) * v)",
            "sum(max(u - v, 0)**2 + softplus(u) * delta)",
            "sum((u - sum(u) / 5)**2 * sigmoid(v))",
        )
    ),
]


def name_of(fields: dict[str, Any]) -> str:
    return " ".join(map(str, fields.values()))


def derived(fields: dict[str, Any]) -> sp.Expr:
    element: Any = KINDS["attentional_bias"][fields["kind"]]
    return derive_bias_derivative(element.model_validate(fields))


def literal(fields: dict[str, Any], u: Tensor, v: Tensor, delta: Tensor) -> Tensor:
    bias = element_fields(fields)
    gates = {"delta": delta}
    if has_printed_derivative(bias):
        return printed_derivative(bias, u, v, gates)
    gradient: Tensor = torch.func.grad(lambda x: loss(bias, x, v, gates).sum())(u)
    return gradient


def element_fields(fields: dict[str, Any]) -> dict[str, Any]:
    element: Any = KINDS["attentional_bias"][fields["kind"]]
    dumped: dict[str, Any] = element.model_validate(fields).model_dump(by_alias=True)
    return dumped


@pytest.mark.parametrize("fields", BIASES, ids=name_of)
def test_the_derived_derivative_is_that_of_the_literal_loss(fields: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(6, 2, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2))
    u[0] = v[0]  # e = 0
    u[1, :, :2] = v[1, :, :2]  # some coordinates are
    delta = 0.3 + torch.rand(6, 2, generator=generator, dtype=torch.float64)
    expr = derived(fields)
    assert {letter.name for letter in expr.free_symbols} <= {"u", "v", "e", "delta"}
    found = value(expr, u=u.numpy(), v=v.numpy(), e=(u - v).numpy(), delta=delta[..., None].numpy())
    np.testing.assert_allclose(np.broadcast_to(found, u.shape), literal(fields, u, v, delta).numpy(), rtol=1e-12, atol=1e-13)


def test_huber_gradient_is_the_clipped_residual() -> None:
    delta = letter("delta")
    assert derived({"kind": "huber", "delta": "delta"}) == where_positive(magnitude(E) - delta, delta * signum(E), E)
    e = np.linspace(-2, 2, 9)
    np.testing.assert_array_equal(value(derived({"kind": "huber", "delta": 0.75}), e=e), np.clip(e, -0.75, 0.75))


def test_kl_gradient_is_a_difference_of_two_softmaxes() -> None:
    """The largest coordinate only shifts; no step of its derivative is left."""
    assert derived({"kind": "kl"}) == softmax(U) - softmax(V)


def softmax(x: sp.Symbol) -> sp.Expr:
    shifted = sp.exp(x - RowMax(x))
    return shifted / RowSum(shifted)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "dot_product"}, -V),
        ({"kind": "l2"}, E),
        ({"kind": "l2", "scale": 2.0}, 2 * E),
        ({"kind": "lp", "p": 1.0}, signum(E)),
        ({"kind": "lp", "p": 2.0}, 2 * E),
        ({"kind": "lp", "p": 3.0}, 3 * signum(E) * E**2),
        ({"kind": "lp", "p": 4.0}, 4 * signum(E) * magnitude(E) ** 3),
        ({"kind": "lp", "p": 1.5}, sp.Rational(3, 2) * signum(E) * power0(magnitude(E), sp.Rational(1, 2))),
        ({"kind": "log_cosh"}, sp.tanh(E)),
        ({"kind": "robust_shift", "shift": 1.0}, E + E * Power0(RowSum(E**2), -sp.Rational(1, 2))),
    ],
    ids=str,
)
def test_a_derivative_is_as_short_as_people_write_it(fields: dict[str, Any], expected: sp.Expr) -> None:
    assert derived(fields) == expected


def test_a_printed_derivative_stands_for_the_gradient_where_the_paper_prints_none() -> None:
    """Yaad's loss is not differentiated: that would give no sign(e) past δ for ‖e‖ > δ alone."""
    delta = letter("delta")
    assert derived({"kind": "yaad_switch", "scale": 2.0}) == where_positive(row_norm(E) - delta, delta * signum(E), 2 * E)


def test_u_minus_v_is_called_e_where_it_occurs() -> None:
    assert in_residual(RowSum((U - V) ** 2)) == RowSum(E**2)
    assert in_residual(U * V) == U * V
    assert in_residual(row_norm(U - V) * V) == row_norm(E) * V


def test_the_gradient_of_a_nested_reduction_reaches_the_inner_one() -> None:
    """d/dx_i Σ_j (x_j − Σ_k x_k)² = 2 (x_i − s) − 2 Σ_j (x_j − s), s = Σ x."""
    x = letter("x")
    gradient = row_gradient(RowSum((x - RowSum(x)) ** 2), x)
    row = np.array([0.3, -1.0, 2.0])
    s = row.sum()
    np.testing.assert_allclose(value(gradient, x=row), 2 * (row - s) - 2 * np.sum(row - s), rtol=1e-14)


def test_the_largest_coordinates_share_the_derivative() -> None:
    x = letter("x")
    np.testing.assert_array_equal(value(row_gradient(RowMax(x) ** 2, x), x=np.array([1.0, 3.0, 3.0])), [0, 3, 3])


def test_tidying_keeps_the_value_and_pulls_out_what_is_constant_in_a_row() -> None:
    delta, e = letter("delta"), np.array([0.5, -2.0, 0.0])
    for expr, short in [
        (RowSum(3 * delta * RowSum(E) * E), 3 * RowSum(E) * RowSum(delta * E)),  # a gate may have a value per channel
        (signum(E) * magnitude(E) * delta, delta * E),
        (magnitude(E) ** 2 + sp.sinh(E) / sp.cosh(E), E**2 + sp.tanh(E)),
        (Power0(magnitude(E), sp.Integer(-2)), Power0(E, sp.Integer(-2))),
    ]:
        assert tidy(expr) == short
        np.testing.assert_allclose(value(tidy(expr), e=e, delta=0.7), value(expr, e=e, delta=0.7), rtol=1e-14)


def test_powers_of_a_reciprocal_are_one_power_and_cancel_where_the_base_is_never_0() -> None:
    width, e = letter("width"), np.array([0.5, -2.0, 0.0])
    square, third = Power0(width, sp.Integer(-2)), Power0(width, sp.Integer(-3))
    assert Power0(width, sp.Integer(-1)) ** 2 == Power0(width**2, sp.Integer(-1)) == square
    assert Power0(E, -sp.Rational(1, 2)) ** 2 != Power0(E, sp.Integer(-1))  # 0 below 0
    assert tidy(square * Power0(width, sp.Integer(-1)) * E) == third * E
    assert tidy(width**2 * square * E) == width**2 * square * E
    for expr, short in [(width**2 * square * E, E), (width**3 * square * E, width * E), (width * third * E, square * E)]:
        assert tidy(expr, frozenset([width])) == short
        np.testing.assert_allclose(value(short, e=e, width=0.7), value(expr, e=e, width=0.7), rtol=1e-14)


@pytest.mark.parametrize(
    ("gate", "slope"),
    [
        ({"range": [0.1, 10]}, "e / √(e² / width² + 1)"),
        ({"parametrization": "positive"}, "e / √(e² / width² + 1)"),
        ({}, "width² e / (width² √(e² / width² + 1))"),  # may be 0, and the slope is 0 there
    ],
    ids=str,
)
def test_a_quotient_by_a_gate_is_printed_as_a_quotient(gate: dict[str, Any], slope: str) -> None:
    text = "width**2*sum(sqrt(1 + ((u - v)/width)**2) - 1)"
    tree = {"name": "x", "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "formula", "loss": text}}
    rule = describe_rule(build_spec({**tree, "gates": {"eta": {}, "width": gate}}))
    assert formula(rule.bias_derivative) == slope
    assert formula(in_residual(rule.surprise.loss)) == "width² (Σ (√(e² / width² + 1) − 1))"
