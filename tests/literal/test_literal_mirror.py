"""The literal mirror maps against their definition: W = ψ(A) is stationary for F(W) − ⟨A, W⟩, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from miras_compiler.verify.literal.mirror import mirror_map, stationarity

Retention = dict[str, Any]

MAPS: list[Retention] = [
    {"kind": "none"},
    {"kind": "l2"},
    *({"kind": "kl", "slice": axis, "total": total} for axis in ("input", "output", "all") for total in (1.0, 16.0)),
    {"kind": "sigmoid"},
    *({"kind": "lq", "q": q} for q in (4 / 3, 1.5, 1.9, 2.0)),
    {"kind": "elastic_net_ftrl", "threshold": 0.7},
    *({"kind": "bregman", "generator": text} for text in ("w*log(w) - w", "cosh(w)", "w**4/4 + w**2/2", "-sqrt(1 - w**2)")),
]


def name_of(retention: object) -> str:
    return " ".join(map(str, retention.values())) if isinstance(retention, dict) else ""


@pytest.fixture
def dual() -> Tensor:
    return 1.5 * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("retention", MAPS, ids=name_of)
def test_mirror_map_is_stationary(retention: Retention, dual: Tensor) -> None:
    violation = stationarity(retention, dual, mirror_map(retention, dual))
    assert violation is not None
    assert violation < 1e-13


@pytest.mark.parametrize("retention", MAPS, ids=name_of)
def test_stationarity_sees_a_weight_that_is_off_by_a_thousandth(retention: Retention, dual: Tensor) -> None:
    weight = mirror_map(retention, dual)
    for wrong in (weight * 0.999, torch.where(weight.abs() == weight.abs().amax(), weight * 0.999, weight)):
        violation = stationarity(retention, dual, wrong)
        assert violation is not None
        assert violation > 1e-6


NEAR_AN_END = "sqrt(1 + w**2) + 0.5*(w*log(w) + (1 - w)*log(1 - w)) + -w**2"


@pytest.mark.parametrize("retention", [{"kind": "sigmoid"}, {"kind": "bregman", "generator": NEAR_AN_END}], ids=name_of)
@pytest.mark.parametrize("size", [7.5, 20.0, 50.0])
def test_a_weight_is_held_to_the_numbers_next_to_it_close_to_an_end_of_its_domain(retention: Retention, size: float) -> None:
    """At A = 7.5 the slope of F changes by 2e-9 from one number to the next; at 50 W is the end itself, where F has no slope."""
    dual = size * torch.tensor([[[[1.0, -1.0, 0.3]]]], dtype=torch.float64)
    weight = mirror_map(retention, dual)
    right = stationarity(retention, dual, weight)
    assert right is not None
    assert right < 1e-15
    wrong = 1 - (1 - weight[..., :1]) * 1.01 - 1e-15
    assert float(stationarity(retention, dual[..., :1], wrong) or 0.0) > 1e-4


def test_the_map_that_miras_prints_for_lq_is_not_its_argmin(dual: Tensor) -> None:
    """docs/mathematics.md §9: A / ‖A‖_p^{p−2}."""
    q, p = 1.5, 3.0
    printed = dual / dual.abs().pow(p).sum((-2, -1), keepdim=True).pow((p - 2) / p)
    violation = stationarity({"kind": "lq", "q": q}, dual, printed)
    assert violation is not None
    assert violation > 0.01


def test_softmax_over_the_wrong_slice_is_not_stationary(dual: Tensor) -> None:
    wrong = mirror_map({"kind": "kl", "slice": "output", "total": 1.0}, dual)
    violation = stationarity({"kind": "kl", "slice": "input", "total": 1.0}, dual, wrong)
    assert violation is not None
    assert violation > 0.1


def test_kl_sums_to_its_total_along_its_slice(dual: Tensor) -> None:
    for axis, axes in {"input": (-2,), "output": (-1,), "all": (-2, -1)}.items():
        total = mirror_map({"kind": "kl", "slice": axis, "total": 16.0}, dual).sum(axes)
        torch.testing.assert_close(total, torch.full_like(total, 16))


def test_moneta_normalizes_by_the_norm_over_one_heads_matrix() -> None:
    dual = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 0.0]]]], dtype=torch.float64)
    weight = mirror_map({"kind": "lq_printed", "q": 4.0}, dual)
    by_hand = torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64) / torch.tensor([[17**0.5], [9.0]], dtype=torch.float64)
    torch.testing.assert_close(weight[:, 0, 0], by_hand)
    torch.testing.assert_close(mirror_map({"kind": "lq_printed", "q": 4.0}, 2 * dual), weight / 2)
    assert stationarity({"kind": "lq_printed", "q": 4.0}, dual, weight) is None


def test_lq_with_q_2_is_the_identity(dual: Tensor) -> None:
    assert torch.equal(mirror_map({"kind": "lq", "q": 2.0}, dual), dual)


@pytest.mark.parametrize("retention", MAPS, ids=name_of)
def test_a_zero_dual_state_has_a_finite_map_and_derivative(retention: Retention) -> None:
    zero = torch.zeros(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = mirror_map(retention, zero)
    (slope,) = torch.autograd.grad(weight.sum(), zero)
    assert weight.isfinite().all()
    assert slope.isfinite().all()


def test_elastic_net_zeroes_what_is_below_its_threshold() -> None:
    dual = torch.tensor([[[[0.5, -0.6, 1.7]]]], dtype=torch.float64)
    weight = mirror_map({"kind": "elastic_net_ftrl", "threshold": 0.7}, dual)
    torch.testing.assert_close(weight.flatten(), torch.tensor([0, 0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("retention", MAPS, ids=name_of)
def test_a_vector_is_one_slice(retention: Retention, dual: Tensor) -> None:
    """As a matrix of one column, whatever the slice is called."""
    vector = dual[..., 0]
    column = mirror_map(retention | {"slice": "input"}, vector.unsqueeze(-1)).squeeze(-1)
    weight = mirror_map(retention, vector)
    torch.testing.assert_close(weight, column)
    violation = stationarity(retention, vector, weight)
    assert violation is not None
    assert violation < 1e-13


def test_the_bregman_map_of_an_entropy_is_the_exponential(dual: Tensor) -> None:
    leaf = dual.clone().requires_grad_()
    weight = mirror_map({"kind": "bregman", "generator": "w*log(w) - w"}, leaf)
    torch.testing.assert_close(weight, dual.exp())
    torch.testing.assert_close(torch.autograd.grad(weight.sum(), leaf)[0], dual.exp())


@pytest.mark.parametrize("kind", ["elastic_net", "weight_norm", "f_divergence"])
def test_a_primal_state_is_what_is_read(kind: str, dual: Tensor) -> None:
    assert mirror_map({"kind": kind}, dual) is dual


def test_an_unknown_retention_is_refused(dual: Tensor) -> None:
    with pytest.raises(NotImplementedError, match="no literal mirror map"):
        mirror_map({"kind": "l3"}, dual)
