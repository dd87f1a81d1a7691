"""The retentions that carry W itself: numbers by hand, closed forms where there are any, and gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.literal_rules import L2, RULES, rule
from miras_compiler.verify.inputs import InputShape, draw_inputs
from miras_compiler.verify.literal import LiteralModel
from miras_compiler.verify.literal.primal import f_divergence_step, keep_column_norms, primal_step

GENERATORS = ("t*log(t)", "(t - 1)**2/2", "(sqrt(t) - 1)**2", "-log(t)", "t**1.5", "(t - 1)**2/2 + t*log(t)")


def simplex(slices: tuple[int, ...], total: float) -> Tensor:
    weight = 0.1 + torch.rand(2, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return total * weight / weight.sum(slices, keepdim=True)


def pulls(scale: float) -> Tensor:
    return scale * torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def divergence(generator: str, axis: str = "input", total: float = 2.0) -> dict[str, Any]:
    return {"kind": "f_divergence", "generator": generator, "slice": axis, "total": total}


def test_elastic_net_shrinks_by_eta_times_the_threshold() -> None:
    before = torch.tensor([[[[1.0, -0.5, 0.2]]]], dtype=torch.float64)
    eta = torch.tensor(0.5, dtype=torch.float64)
    after = primal_step({"kind": "elastic_net", "threshold": 0.4}, before, 0.9 * before, torch.full_like(before, 0.1), eta)
    torch.testing.assert_close(after.flatten(), torch.tensor([0.8, -0.15, 0.08], dtype=torch.float64))


def test_elastic_net_minimizes_miras_eq_22() -> None:
    """argmin ⟨g, W⟩ + ‖W − W'‖²/(2 eta) + ‖W‖²/(2 b) + ‖W‖₁ c, with alpha = b/(b + eta), eta' = eta b/(b + eta), threshold c."""
    before, g, eta, b, c = pulls(1.0), pulls(0.7).flip(-1), 0.3, 2.0, 0.9
    alpha, step = b / (b + eta), eta * b / (b + eta)
    after = primal_step({"kind": "elastic_net", "threshold": c}, before, alpha * before, -step * g, torch.tensor(step, dtype=torch.float64))
    slope = g + (after - before) / eta + after / b + c * torch.sign(after)
    flat = (g - before / eta).abs() - c
    assert float(torch.where(after == 0, torch.relu(flat), slope.abs()).max()) < 1e-12
    assert 0 < float((after == 0).double().mean()) < 1


def test_weight_norm_gives_every_column_the_norm_it_had() -> None:
    before, x = pulls(1.0), pulls(3.0).flip(0)
    after = keep_column_norms(x, before)
    torch.testing.assert_close(after.norm(dim=-2), before.norm(dim=-2))
    torch.testing.assert_close(after / after.norm(dim=-2, keepdim=True), x / x.norm(dim=-2, keepdim=True))
    tiny = keep_column_norms(torch.full((1, 1, 2, 1), 1e-9, dtype=torch.float64), torch.ones(1, 1, 2, 1, dtype=torch.float64))
    torch.testing.assert_close(tiny.flatten(), torch.full((2,), 1e-4 * 2**0.5, dtype=torch.float64))


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize(("axis", "axes"), [("input", (-2,)), ("output", (-1,)), ("all", (-2, -1))])
def test_f_divergence_keeps_totals_and_is_the_constrained_argmin(generator: str, axis: str, axes: tuple[int, ...]) -> None:
    """f'(W_t/W_{t−1}) + eta g is one number per slice where W_t > 0, and no smaller where it is 0."""
    before, pull = simplex(axes, 2.0), pulls(0.4)
    after = f_divergence_step(divergence(generator, axis), before, pull)
    torch.testing.assert_close(after.sum(axes), torch.full_like(after.sum(axes), 2.0))
    slopes: dict[str, Callable[[Tensor], Tensor]] = {
        "t*log(t)": lambda t: torch.log(t) + 1, "(t - 1)**2/2": lambda t: t - 1, "(sqrt(t) - 1)**2": lambda t: 1 - t.rsqrt(),
        "-log(t)": lambda t: -1 / t, "t**1.5": lambda t: 1.5 * t.sqrt(), "(t - 1)**2/2 + t*log(t)": lambda t: t + torch.log(t),
    }  # fmt: skip
    level = slopes[generator](after / before) + pull
    alive = after > 0
    highest = torch.where(alive, level, torch.full_like(level, -torch.inf)).amax(axes, keepdim=True)
    assert float(torch.where(alive, highest - level, torch.zeros_like(level)).max()) < 1e-10
    assert bool((level >= highest - 1e-10)[~alive].all())


def test_the_kullback_leibler_divergence_makes_multiplicative_weights() -> None:
    before, pull = simplex((-2,), 2.0), pulls(3.0)
    scaled = before * torch.exp(-pull)
    torch.testing.assert_close(f_divergence_step(divergence("t*log(t)"), before, pull), 2 * scaled / scaled.sum(-2, keepdim=True))


@pytest.mark.parametrize("generator", GENERATORS)
def test_gradients_of_f_divergence_are_those_of_finite_differences(generator: str) -> None:
    before, pull = simplex((-2,), 2.0)[:1].requires_grad_(), pulls(0.5)[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda w, g: f_divergence_step(divergence(generator), w, g), (before, pull), fast_mode=True)


def test_weights_that_a_step_has_cleared_stay_zero() -> None:
    before, pull = simplex((-2,), 2.0), pulls(3.0)
    cleared = f_divergence_step(divergence("(t - 1)**2/2"), before, pull)
    assert bool((cleared == 0).any())
    again = f_divergence_step(divergence("(t - 1)**2/2"), cleared, -pull)
    assert bool((again[cleared == 0] == 0).all())


def test_no_pull_leaves_the_weights_where_they_are() -> None:
    before = simplex((-2, -1), 3.0)
    for generator in GENERATORS:
        torch.testing.assert_close(f_divergence_step(divergence(generator, "all", 3.0), before, torch.zeros_like(before)), before)


def test_primal_states_are_read_and_measured_as_they_are() -> None:
    """With no threshold elastic_net is l2; with beta per head weight_norm takes one normalized step."""
    fields = rule(retention={"kind": "elastic_net", "threshold": 0.0, "order": "after_gradient"})
    given = draw_inputs(fields, InputShape(2, 5, 2, 3, 4), seed=0, eta=0.5)
    outputs = [LiteralModel(f)(given.q, given.k, given.v, given.gates, {}, given.state)[0] for f in (fields, rule(retention=L2))]
    torch.testing.assert_close(*outputs)
    fields = rule(retention={"kind": "weight_norm", "order": "after_gradient"})
    given = draw_inputs(fields, InputShape(2, 1, 2, 3, 4), seed=0, eta=0.5)
    w, k, v = given.state["W"], given.k[:, 0].unsqueeze(-2), given.v[:, 0].unsqueeze(-2)
    alpha, eta = given.gates["log_alpha"][:, 0, :, None, None].exp(), given.gates["eta"][:, 0, :, None, None]
    x = alpha * w - eta * k.mT @ (k @ w - v)
    _, final, _ = LiteralModel(fields)(given.q, given.k, given.v, given.gates, {}, given.state)
    torch.testing.assert_close(final["W"], x / x.norm(dim=-2, keepdim=True) * w.norm(dim=-2, keepdim=True))


def test_random_states_of_f_divergence_lie_on_the_simplex() -> None:
    given = draw_inputs(RULES["f_divergence that clips"], InputShape(2, 3, 2, 4, 5), seed=0, eta=0.5, position=1)
    for name in ("W", "W_start"):
        torch.testing.assert_close(given.state[name].sum((-2, -1)), torch.full((2, 2), 4.0, dtype=torch.float64))
