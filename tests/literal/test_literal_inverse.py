"""Numerical inverses: derivatives of a formula against autograd, solutions against closed forms, domains found by trying."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from miras_compiler.verify.literal.formula_value import formula_value
from miras_compiler.verify.literal.inverse import domain, inverse_derivative, solve
from miras_compiler.verify.literal.jet import slopes

FORMULAS = [
    "w**2/2", "w*log(w) - w", "-sqrt(1 - w/9)", "cosh(w) + sinh(w)", "2**-1 * w**4 - w**3 + 3", "tanh(w)*w", "softplus(-w) + w",
    "sigmoid(2*w)/w",
    "abs(w - 2)*w", "max(w, 1.5*w - 1)", "min(w**2, w)*sign(w)", "exp(-w**2) / (1 + w)", "+w**1.5", "w**0 + w**1",
    "log(cosh(2*w - 3))", "w*log(1 + exp(w))", "log(exp(-w) + 1)",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_slopes_are_those_of_autograd(text: str) -> None:
    x = torch.tensor([0.3, 0.7, 1.4, 3.1], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(formula_value(text, {"w": x.unsqueeze(-1)}).sum(), x, create_graph=True)
    second = torch.zeros_like(x)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), x, allow_unused=True, materialize_grads=True)
    for actual, expected in zip(slopes(text, "w", x), (first, second), strict=True):
        torch.testing.assert_close(actual, expected.detach(), rtol=1e-12, atol=1e-13)


def test_what_reduces_a_row_is_no_generator() -> None:
    with pytest.raises(ValueError, match="outside the grammar"):
        slopes("sum(w)", "w", torch.ones(1))


CLOSED: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("w**2/2", lambda a: a),
    ("w*log(w) - w", torch.exp),
    ("w*log(w) + (1 - w)*log(1 - w)", torch.sigmoid),
    ("cosh(w)", torch.asinh),
    ("-sqrt(1 - w**2)", lambda a: a / (1 + a * a).sqrt()),
    ("-log(w) + 3*(w**2/2)", lambda a: 2 / ((a * a + 12).sqrt() - a)),
    ("w**4", lambda a: torch.sign(a) * (a.abs() / 4).pow(1 / 3)),
]


@pytest.mark.parametrize(("text", "closed"), CLOSED, ids=lambda value: value if isinstance(value, str) else "")
def test_the_inverse_is_the_closed_one_and_has_its_slope(text: str, closed: Callable[[Tensor], Tensor]) -> None:
    a = torch.tensor([-30.0, -2.0, -1e-3, 0.5, 3.0, 20.0], dtype=torch.float64, requires_grad=True)
    value, expected = inverse_derivative(text, "w", a), closed(a)
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-14)
    (slope,), (expected_slope,) = torch.autograd.grad(value.sum(), a), torch.autograd.grad(expected.sum(), a)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-9, atol=1e-14)


def test_a_root_with_an_infinite_slope_is_found() -> None:
    """Newton's steps swing from one side of it to the other."""
    a = torch.tensor([0.0, 1e-12, -1e-5, 1e-3, -3.0, 100.0], dtype=torch.float64)
    torch.testing.assert_close(inverse_derivative("abs(w)**1.5", "w", a), torch.sign(a) * (a / 1.5).square(), rtol=1e-11, atol=1e-30)


def test_an_inverse_without_a_closed_form_meets_its_equation() -> None:
    a = torch.linspace(-9, 9, 20, dtype=torch.float64)
    w = inverse_derivative("w**4/4 + softplus(w) + w**2", "w", a)
    torch.testing.assert_close(w**3 + torch.sigmoid(w) + 2 * w, a)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("w*log(w)", 0, 1e30), ("-log(1 - w) - log(w + 2)", -2, 1), ("-sqrt(1 - w**2)", -1, 1), ("w**2", -1e30, 1e30), ("cosh(w)", -700, 700)],
)
def test_the_domain_of_a_generator_is_found_by_trying(text: str, low: float, high: float) -> None:
    inside, first, last = domain(text, "w")
    assert first < inside < last
    assert first <= low + 1e-9 or math.isclose(first, low, rel_tol=0.02)
    assert last >= high - 1e-9 or math.isclose(last, high, rel_tol=0.02)


@pytest.mark.parametrize("bounded", ["log(cosh(w))", "log(1 + exp(w))", "log(exp(w) + 1)"])
def test_a_logarithm_goes_on_where_its_argument_is_too_large_to_be_a_number(bounded: str) -> None:
    """F' = 1 + 1 + log(w) there: w = exp(a − 2), which is the literal argmin, too."""
    text, a = f"{bounded} + w*log(w)", torch.tensor([9.0, 40.0, 200.0], dtype=torch.float64)
    w = inverse_derivative(text, "w", a)
    torch.testing.assert_close(w, torch.exp(a - 2), rtol=1e-11, atol=0)
    leaf = w.clone().requires_grad_()
    (slope,) = torch.autograd.grad(formula_value(text, {"w": leaf.unsqueeze(-1)}).sum(), leaf)
    torch.testing.assert_close(slope, a, rtol=1e-12, atol=0)


def test_beyond_the_range_the_solution_is_the_end_of_the_domain() -> None:
    """f' = −1/t never is positive, and f' = t − 1 is cut off at t = 0."""
    assert float(solve("-log(t)", "t", torch.tensor(1.0, dtype=torch.float64))) > 1e30
    assert float(solve("(t - 1)**2/2", "t", torch.tensor(-3.0, dtype=torch.float64), lowest=0.0)) == 0


def test_a_guess_does_not_change_the_solution() -> None:
    a = torch.tensor([-3.0, 0.1, 2.0], dtype=torch.float64)
    torch.testing.assert_close(solve("cosh(w)", "w", a, torch.full_like(a, 40.0)), torch.asinh(a), rtol=1e-11, atol=0)


def test_numbers_of_any_size_are_found_and_what_is_too_large_is_infinite() -> None:
    """exp on a Bregman generator; the slopes of a steep one, where Newton's method alone goes down by 1 a round."""
    a = torch.tensor([-1e4, -340.0, 340.0, 1e4], dtype=torch.float64)
    assert inverse_derivative("w*log(w) - w", "w", a)[3] == torch.inf
    torch.testing.assert_close(inverse_derivative("w*log(w) - w", "w", a)[:3], torch.exp(a[:3]), rtol=1e-12, atol=1e-150)
    steep = torch.tensor([-1e300, -600.0, 600.0, 5000.0, 1e300], dtype=torch.float64)
    torch.testing.assert_close(inverse_derivative("cosh(w)", "w", steep), torch.asinh(steep), rtol=1e-12, atol=0)
