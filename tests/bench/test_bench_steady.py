"""Inputs on which runs of different precisions stay together are sought: by smaller steps, then by other draws."""

from __future__ import annotations

import itertools

import pytest
import torch

from miras_compiler.bench.precision import STEADY, TRIES, RoundedProducts, Tensors, judge, noise, perturbed, rounded, steady, worst
from miras_compiler.bench.subject import Regime

Drawn = tuple[float, int]
RAGGED = 10 * STEADY


def draw(regime: Regime, seed: int) -> Drawn:
    return regime.eta, seed


def test_steps_are_smaller_until_gradients_are_steady() -> None:
    found, sensed = steady(draw, lambda drawn: RAGGED if drawn[0] > 0.1 else 1.0, Regime(1.0))
    assert (found, sensed) == ((0.0625, 0), 1.0)


def test_where_smaller_steps_do_not_help_another_draw_does() -> None:
    """As where a weight lies so near to the threshold of a soft threshold that rounding moves it across."""
    found, sensed = steady(draw, lambda drawn: 1.0 if drawn[1] == 3 else RAGGED, Regime(0.5))
    assert (found, sensed) == ((0.5, 3), 1.0)


def test_a_regime_that_is_not_to_be_calmed_stays_what_it_is() -> None:
    found, sensed = steady(draw, lambda drawn: 1.0 if drawn[1] == 3 or drawn[0] < 0.1 else RAGGED, Regime(0.5), calms=False)
    assert (found, sensed) == ((0.5, 3), 1.0)
    assert steady(draw, lambda drawn: RAGGED, Regime(0.5), calms=False) == ((0.5, 0), RAGGED)


@pytest.mark.parametrize("told", [RAGGED, float("inf"), float("nan")])
def test_where_nothing_is_steady_the_calmest_draw_is_taken_and_says_how_much_it_is_not(told: float) -> None:
    found, sensed = steady(draw, lambda drawn: told, Regime(0.5))
    assert found[0] < 1e-5
    assert not sensed <= STEADY


def test_a_perturbation_is_no_more_than_rounding_may_take() -> None:
    state = {"W": noise(torch.empty(2, 50)).float().double(), "position": torch.tensor([3])}
    assert perturbed(state, 0) is state
    moved = perturbed(state, 1)
    part = float(((moved["W"] - state["W"]) / state["W"]).abs().max())
    assert 0.9 < part / (torch.finfo(torch.float32).eps / 2) <= 1 + 1e-6
    assert torch.equal(moved["position"], state["position"])


def test_every_draw_rounds_otherwise_and_as_much() -> None:
    x = noise(torch.empty(20_000))
    errors = [rounded(x, RoundedProducts(seed).grid) - x for seed in range(TRIES)]
    sizes = [float(error.square().mean().sqrt()) for error in errors]
    assert max(sizes) < 1.1 * min(sizes)
    for error, other in itertools.combinations(errors, 2):
        assert abs(float((error * other).mean())) < 0.2 * sizes[0] ** 2
    held = x.bfloat16().double()
    assert all(torch.equal(rounded(held, RoundedProducts(seed).grid), held) for seed in range(TRIES))


LUCKY = (0.01, 0.03, 0.02, 0.01)  # the form's own error, draw by draw; that of kernels may be twice as large


@pytest.mark.parametrize(("error", "draws", "limit", "passed"), [(0.015, 1, 0.02, True), (0.05, 4, 0.06, True), (0.07, 4, 0.06, False)])
def test_an_error_that_the_first_draw_does_not_allow_is_held_against_the_worst_of_several(
    error: float, draws: int, limit: float, passed: bool
) -> None:
    drawn: list[int] = []

    def own(seed: int) -> Tensors:
        drawn.append(seed)
        return {"o": torch.full((3,), 1 + LUCKY[seed])}

    entry = judge({"o": torch.full((3,), 1 + error)}, {"o": torch.ones(3)}, own, torch.bfloat16)
    assert drawn == [*range(draws)]
    assert entry.limit == pytest.approx(limit, rel=1e-4)
    assert entry.passed == passed


def test_the_worst_of_several_runs_is_chosen_result_by_result() -> None:
    exact = {"o": torch.ones(2), "W": torch.ones(2), "position": torch.tensor(3)}
    near, far = torch.full((2,), 1.1), torch.full((2,), 0.8)
    found = worst([{"o": near, "W": far}, {"o": far, "W": near}], exact)
    assert (found["o"] is far, found["W"] is far, set(found)) == (True, True, {"o", "W"})
