"""The literal attentional biases: values by hand, gradients against the table of docs/mathematics.md §4, and calm at e = 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from miras_compiler.verify.literal.bias import derivative, has_printed_derivative, loss, printed_derivative

Bias = dict[str, Any]

L2 = {"kind": "l2", "scale": 3.0}
P3 = {"kind": "lp", "p": 3.0, "smooth": False}
HUBER = {"kind": "huber", "delta": "delta"}
HUBER_NORM = {"kind": "huber_norm", "delta": "delta"}
SWITCH = {"kind": "yaad_switch", "scale": 2.0, "delta": "delta"}
SHIFT = {"kind": "robust_shift", "shift": 0.5}
DEAD_ZONE = {"kind": "epsilon_insensitive", "epsilon": 0.4}


def row(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, 1, -1)


def gates(delta: float) -> dict[str, Tensor]:
    return {"delta": torch.full((1, 1), delta, dtype=torch.float64)}


@pytest.mark.parametrize(
    ("bias", "delta", "value"),
    [
        ({"kind": "dot_product"}, 1, -(4 * 1 + 5 * 1)),
        (L2, 1, 3 / 2 * (9 + 16)),
        (P3, 1, 27 + 64),
        ({"kind": "lp", "p": 1.0, "smooth": True, "slope": 10.0}, 1, 3 + 4),
        (HUBER, 3.5, 9 / 2 + 3.5 * (4 - 3.5 / 2)),
        (HUBER_NORM, 6, 25 / 2),
        (HUBER_NORM, 2, 2 * (5 - 1)),
        (HUBER | {"delta": 1.0}, 100, 1 * (3 - 0.5) + 1 * (4 - 0.5)),
        (SWITCH, 6, 25),
        (SWITCH, 2, 2 * (3 + 4)),
        (SHIFT, 1, (5 + 0.5) ** 2 / 2),
        ({"kind": "log_cosh"}, 1, math.log(math.cosh(3)) + math.log(math.cosh(4))),
        (DEAD_ZONE, 1, 2.6 + 3.6),
        ({"kind": "formula", "loss": "delta * sum(u - v) ** 2 / 4"}, 2, 2 * 49 / 4),
    ],
)
def test_loss_of_the_residual_3_4_is_the_number_computed_by_hand(bias: Bias, delta: float, value: float) -> None:
    """u = (4, 5), v = (1, 1): e = (3, 4), ‖e‖ = 5."""
    assert float(loss(bias, row(4, 5), row(1, 1), gates(delta))) == pytest.approx(value, rel=1e-14)


def test_kl_is_the_divergence_of_the_prediction_from_the_value() -> None:
    p, q = (math.exp(1) / (math.exp(1) + 1), 1 / (math.exp(1) + 1)), (0.5, 0.5)
    by_hand = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert float(loss({"kind": "kl"}, row(7, 7), row(1, 0), {})) == pytest.approx(by_hand)


def _norm(e: Tensor) -> Tensor:
    return e.square().sum(-1, keepdim=True).sqrt()


PRINTED: list[tuple[Bias, Callable[[Tensor, Tensor, Tensor], Tensor]]] = [
    ({"kind": "dot_product"}, lambda u, v, d: -v),
    (L2, lambda u, v, d: 3 * (u - v)),
    (P3, lambda u, v, d: 3 * torch.sign(u - v) * (u - v).abs() ** 2),
    ({"kind": "lp", "p": 1.5, "smooth": False}, lambda u, v, d: 1.5 * torch.sign(u - v) * (u - v).abs() ** 0.5),
    ({"kind": "lp", "p": 1.0, "smooth": False}, lambda u, v, d: torch.sign(u - v)),
    (HUBER, lambda u, v, d: torch.minimum(torch.maximum(u - v, -d), d)),
    (HUBER_NORM, lambda u, v, d: torch.where(_norm(u - v) <= d, u - v, d * (u - v) / _norm(u - v))),
    (SHIFT, lambda u, v, d: (u - v) + 0.5 * (u - v) / _norm(u - v)),
    ({"kind": "kl"}, lambda u, v, d: torch.softmax(u, -1) - torch.softmax(v, -1)),
    ({"kind": "log_cosh"}, lambda u, v, d: torch.tanh(u - v)),
    (DEAD_ZONE, lambda u, v, d: torch.sign(u - v) * ((u - v).abs() > 0.4)),
    ({"kind": "formula", "loss": "sum(log(cosh(u - v)))"}, lambda u, v, d: torch.tanh(u - v)),
    ({"kind": "formula", "loss": "delta * norm(u - v)"}, lambda u, v, d: d * (u - v) / _norm(u - v)),
    ({"kind": "formula", "loss": "max(abs(u - v))"}, lambda u, v, d: torch.sign(u - v) * ((u - v).abs() == (u - v).abs().amax(-1, True))),
]


@pytest.mark.parametrize(
    ("bias", "printed"), PRINTED, ids=lambda value: value.get("loss", value["kind"]) if isinstance(value, dict) else ""
)
def test_gradient_of_the_literal_loss_is_the_printed_derivative(bias: Bias, printed: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64)
    delta = 0.3 + 3 * torch.rand(5, 3, generator=generator, dtype=torch.float64)
    slope = torch.func.grad(lambda u: loss(bias, u, v, {"delta": delta}).sum())(u)
    assert not has_printed_derivative(bias)
    torch.testing.assert_close(slope, printed(u, v, delta.unsqueeze(-1)), rtol=1e-12, atol=1e-13)


def test_a_clip_shortens_a_long_derivative_to_its_length() -> None:
    clipped = derivative(L2 | {"clip": 7.5}, row(3, -4), row(0, 0), {})
    assert clipped.flatten().tolist() == pytest.approx([4.5, -6])
    assert derivative(L2 | {"clip": 15.1}, row(3, -4), row(0, 0), {}).flatten().tolist() == [9, -12]
    assert derivative(SWITCH | {"clip": 1.0}, row(3, -4), row(0, 0), gates(5)).flatten().tolist() == pytest.approx([0.6, -0.8])
    at_zero = row(0, 0).requires_grad_()
    (slope,) = torch.autograd.grad(derivative(L2 | {"clip": 1.0}, at_zero, row(0, 0), {}).sum(), at_zero)
    assert slope.flatten().tolist() == [3, 3]


def test_a_gate_per_value_channel_is_a_row() -> None:
    thresholds = {"delta": row(1, 100)}
    assert float(loss(HUBER, row(3, 4), row(0, 0), thresholds)) == 1 * (3 - 0.5) + 8
    assert float(loss({"kind": "formula", "loss": "sum(delta*(u - v))"}, row(3, 4), row(0, 0), thresholds)) == 403


def test_log_cosh_does_not_overflow() -> None:
    e = row(1e4, -1e4).requires_grad_()
    value = loss({"kind": "log_cosh"}, e, row(0, 0), {})
    (slope,) = torch.autograd.grad(value.sum(), e, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), e)
    assert float(value.detach()) == pytest.approx(2e4, abs=2)
    assert slope.flatten().tolist() == [1, -1]
    assert curvature.flatten().tolist() == [0, 0]


def test_yaad_switches_from_the_residual_to_its_signs() -> None:
    e = row(3, -4)
    assert has_printed_derivative(SWITCH)
    assert printed_derivative(SWITCH, e, 0 * e, gates(5)).flatten().tolist() == [6, -8]
    assert printed_derivative(SWITCH, e, 0 * e, gates(4.9)).flatten().tolist() == [4.9, -4.9]


def test_smooth_lp_has_the_derivative_that_moneta_prints() -> None:
    bias = {"kind": "lp", "p": 3.0, "smooth": True, "slope": 10.0}
    by_hand = 3 * math.tanh(10 * 0.2) * (0.2**2 + 1e-6)
    assert float(printed_derivative(bias, row(0.5), row(0.3), {})) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("bias", "printed"), PRINTED, ids=lambda value: value.get("loss", value["kind"]) if isinstance(value, dict) else ""
)
def test_zero_residual_has_finite_first_and_second_derivatives(bias: Bias, printed: object) -> None:
    u = row(0.3, -0.2, 0).requires_grad_()
    value = loss(bias, u, u.detach(), gates(1)).sum()
    (slope,) = torch.autograd.grad(value, u, create_graph=True)
    if slope.requires_grad:
        (curvature,) = torch.autograd.grad(slope.sum(), u, allow_unused=True, materialize_grads=True)
        assert curvature.isfinite().all()
    assert slope.isfinite().all()


def test_an_unknown_bias_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="no literal attentional bias"):
        loss({"kind": "hubber"}, row(1), row(1), {})
