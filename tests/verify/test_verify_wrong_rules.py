"""Verification refuses a package that computes another rule, consistently in all of its forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.literal_package import LiteralOperator, fields_of, package_of
from kit.verify_mutants import DELTA, FORWARD, INNER, SHALLOW, TITANS, failed
from miras_compiler.verify.literal import LiteralModel
from miras_compiler.verify.literal.carried import Weights
from miras_compiler.verify.literal.memory import NORM_EPSILON, _body

pytestmark = pytest.mark.slow


class HalfGradient(LiteralModel):
    """s = 1 where the paper prints s = 2."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__({**fields, "attentional_bias": {**fields["attentional_bias"], "scale": 1.0}})


class Ascent(LiteralModel):
    """The residual as v − u: MIRAS Table 1 as printed."""

    def _surprise(self, *given: Any) -> Any:
        surprise, measures = super()._surprise(*given)
        return {name: -g for name, g in surprise.items()}, measures


class LostParenthesis(LiteralModel):
    """The LayerNorm gradient of a public Titans reference: 1/σ multiplies only the first of its three terms."""

    def _surprise(self, weights: Weights, k: Tensor, v: Tensor, gates: Any, parameters: Mapping[str, Tensor]) -> Any:
        _, measures = super()._surprise(weights, k, v, gates, parameters)
        f, pull, *_ = torch.func.vjp(lambda w: _body(self.memory, w, k), weights)  # rows [B,H,1,·]
        centered = f - f.mean(-1, keepdim=True)
        sigma = (centered.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt()
        normed = centered / sigma
        scale, shift = parameters["ln_weight"].unsqueeze(-2), parameters["ln_bias"].unsqueeze(-2)
        d_normed = 2 * (k + normed * scale + shift - v) * scale
        means = d_normed.mean(-1, keepdim=True) + normed * (d_normed * normed).mean(-1, keepdim=True)
        return pull(d_normed / sigma - means)[0], measures


class LateMomentum(LiteralModel):
    """S = mu (S − eta g): the decay after the surprise."""

    def _write(self, dual: Weights, momentum: Weights, surprise: Weights, alpha: Tensor, keep: Tensor, eta: Tensor) -> Any:
        return super()._write(dual, momentum, surprise, alpha, keep, keep * eta)


class DoubleDecay(LiteralModel):
    """A = alpha² A + S."""

    def _write(self, dual: Weights, momentum: Weights, surprise: Weights, alpha: Tensor, keep: Tensor, eta: Tensor) -> Any:
        return super()._write(dual, momentum, surprise, alpha.square(), keep, eta)


class LostStep(LiteralModel):
    """S = mu S − g: MIRAS eq. 9 as printed."""

    def _write(self, dual: Weights, momentum: Weights, surprise: Weights, alpha: Tensor, keep: Tensor, eta: Tensor) -> Any:
        return super()._write(dual, momentum, surprise, alpha, keep, torch.ones_like(eta))


class ReadsBeforeWriting(LiteralModel):
    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__({**fields, "chunk": {**fields["chunk"], "read": "before_write"}})


class ExactGradients(LiteralModel):
    """Every gradient at W_{t−1}, whatever the chunk."""

    def _measured_at(self, dual: Weights, start: Weights, alpha: Tensor, ahead: Weights) -> Weights:
        return dual


class OtherOrder(LiteralModel):
    """The surprise at the undecayed state, where the spec says before_gradient."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__({**fields, "retention": {**fields["retention"], "order": "after_gradient"}})


RULES = [HalfGradient, Ascent, LostParenthesis, LateMomentum, DoubleDecay, LostStep, ReadsBeforeWriting, ExactGradients]


@pytest.mark.parametrize("model", RULES)
def test_a_wrong_rule_fails_against_the_literal_model(model: type[LiteralModel]) -> None:
    assert failed(SHALLOW, package_of(LiteralOperator(SHALLOW, model)), only=FORWARD | INNER) == FORWARD


@pytest.mark.parametrize("model", [HalfGradient, LostParenthesis])
def test_a_wrong_gradient_of_a_deep_memory_fails_against_the_literal_model(model: type[LiteralModel]) -> None:
    assert failed(TITANS, package_of(LiteralOperator(TITANS, model)), only=FORWARD) == FORWARD


@pytest.mark.parametrize("model", [DoubleDecay, LostStep, OtherOrder])
def test_a_wrong_delta_rule_fails_against_the_literal_model(model: type[LiteralModel]) -> None:
    assert failed(DELTA, package_of(LiteralOperator(DELTA, model)), only=FORWARD | INNER) == FORWARD


def test_a_wrong_quadratic_branch_of_the_switch_is_seen() -> None:
    fields = fields_of("yaad", chunk={"size": 4})
    rows = {*FORWARD, "wide_huber"}
    assert failed(fields, package_of(LiteralOperator(fields, HalfGradient)), only=rows) == rows


def test_a_mirror_map_applied_at_the_wrong_time_is_seen() -> None:
    """Moneta with ψ per token instead of at the chunk's end."""
    fields = fields_of("moneta", chunk={"size": 4})

    class PerToken(LiteralModel):
        def __init__(self, fields: Mapping[str, Any]) -> None:
            super().__init__({**fields, "chunk": {**fields["chunk"], "retention": "per_token"}})

    assert failed(fields, package_of(LiteralOperator(fields, PerToken)), only=FORWARD) == FORWARD


def test_a_wrong_total_of_the_simplex_is_seen() -> None:
    fields = fields_of("memora", chunk={"size": 4})
    other = {**fields, "retention": {**fields["retention"], "total": 15.0}}
    assert failed(fields, package_of(LiteralOperator(other)), only=FORWARD) == FORWARD


class NaiveUnitVector(LiteralModel):
    """e + Δ e/‖e‖ without a guard at e = 0."""

    def _surprise(self, weights: Weights, k: Tensor, v: Tensor, gates: Any, parameters: Any) -> Any:
        _, measures = super()._surprise(weights, k, v, gates, parameters)
        e = k @ weights["W"] - v
        return {"W": k.mT @ (e + self.bias["shift"] * e / e.norm(dim=-1, keepdim=True))}, measures


def test_a_division_by_zero_at_the_value_itself_is_seen_where_the_residual_is_zero() -> None:
    fields = fields_of("gated_delta_net", attentional_bias={"kind": "robust_shift", "shift": 0.5, "window": None})
    assert failed(fields, package_of(LiteralOperator(fields, NaiveUnitVector)), only={*FORWARD, "correlated_keys", "zero_residual"}) == {
        "zero_residual"
    }
