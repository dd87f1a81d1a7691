"""Inputs on which runs of different precisions stay together are sought: by smaller steps, then by other draws."""

from __future__ import annotations

import pytest
import torch

from miras_compiler.bench.precision import STEADY, noise, perturbed, steady, worst
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_perturbation_is_no_more_than_rounding_may_take(dtype: torch.dtype) -> None:
    state = {"W": noise(torch.empty(2, 50)).to(dtype).double(), "position": torch.tensor([3])}
    assert perturbed(state, dtype, 0) is state
    moved = perturbed(state, dtype, 1)
    part = float(((moved["W"] - state["W"]) / state["W"]).abs().max())
    assert 0.9 < part / (torch.finfo(dtype).eps / 2) <= 1 + 1e-6
    assert torch.equal(moved["position"], state["position"])


def test_the_worst_of_several_runs_is_chosen_result_by_result() -> None:
    exact = {"o": torch.ones(2), "W": torch.ones(2), "position": torch.tensor(3)}
    near, far = torch.full((2,), 1.1), torch.full((2,), 0.8)
    found = worst([{"o": near, "W": far}, {"o": far, "W": near}], exact)
    assert (found["o"] is far, found["W"] is far, set(found)) == (True, True, {"o", "W"})
