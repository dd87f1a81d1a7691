"""Verification refuses packages that get the richer rules wrong: steps, keys, windows, sums that wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.literal_package import LiteralOperator, package_of
from kit.literal_rules import GD, RULES
from kit.verify_mutants import failed
from miras_compiler.verify.inputs import InputShape, draw_inputs
from miras_compiler.verify.literal import LiteralModel
from miras_compiler.verify.literal.carried import CarriedValues, Weights

pytestmark = pytest.mark.slow

State = Mapping[str, Tensor]
Fields = dict[str, Any]


def altered(name: str, **changes: Mapping[str, Any]) -> tuple[Fields, LiteralOperator]:
    """The fields of a rule, and an operator that computes another one."""
    fields = RULES[name]
    return fields, LiteralOperator({**fields, **{role: {**fields[role], **change} for role, change in changes.items()}})


class DecaysAtEveryWrite(LiteralModel):
    """alpha before each of the n writes of a token."""

    def _one_write(self, held: CarriedValues, row: Weights, token: Weights, alpha: Tensor, *others: Any) -> Any:
        return super()._one_write(held, row, token, self.log_decay(token, row["k"][:, :, 0].unsqueeze(1)).exp(), *others)


class StopsAtTheChunksBorder(LiteralModel):
    """A window that begins anew with every chunk."""

    def _token(self, held: CarriedValues, *given: Any) -> Any:
        assert held.window is not None
        length = torch.where(held.position == 0, torch.zeros_like(held.window.length), held.window.length)
        return super()._token(replace(held, window=held.window._replace(length=length)), *given)


class ForgetsChannels(LiteralModel):
    """A gate per channel, taken per head."""

    def on_weight(self, name: str, gate: Tensor, dimensions: int | None = None) -> Tensor:
        channels = self.per.get(name, "head") != "head" and gate.dim() == 3
        return super().on_weight(name, gate.mean(-1, keepdim=True).expand_as(gate) if channels else gate, dimensions)


class ErasesAlongTheKey(LiteralModel):
    """κ = k, whatever is given."""

    def _erase_keys(self, row: Weights, token: Weights) -> tuple[Tensor, Tensor]:
        return row["k"], super()._erase_keys(row, token)[1]


@pytest.mark.parametrize(
    ("name", "model", "rows"),
    [
        ("steps", DecaysAtEveryWrite, {"literal_forward", "single_step", "nothing_learned"}),
        ("window of a chunk", StopsAtTheChunksBorder, {"literal_forward"}),
        ("alpha and eta per key channel", ForgetsChannels, {"literal_forward", "nothing_learned"}),
        ("three keys", ErasesAlongTheKey, {"literal_forward"}),
    ],
)
def test_a_wrong_rule_is_seen(name: str, model: type[LiteralModel], rows: set[str]) -> None:
    fields = RULES[name]
    tried = {"literal_forward", "single_step", "window_of_one", "one_key", "nothing_learned"}
    assert failed(fields, package_of(LiteralOperator(fields, model)), only=tried) == rows


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nesterov", {"optimizer": {"kind": "momentum"}}),
        ("implicit", {"optimizer": GD}),
        ("muon", {"optimizer": {"coefficients": "lact"}}),
        ("weight_norm", {"retention": {"kind": "l2"}}),
        ("elastic_net", {"retention": {"kind": "elastic_net_ftrl"}}),
        ("f_divergence", {"retention": {"generator": "(t - 1)**2/2"}}),
        ("f_divergence", {"retention": {"total": 2.01}}),
        ("bregman", {"retention": {"generator": "w*log(w)"}}),
        ("clip", {"attentional_bias": {"clip": 0.8}}),
    ],
)
def test_a_neighbouring_rule_is_not_taken_for_the_right_one(name: str, changes: dict[str, dict[str, Any]]) -> None:
    fields, operator = altered(name, **changes)
    assert failed(fields, package_of(operator), only={"literal_forward"}) == {"literal_forward"}


class Drops(LiteralOperator):
    """Does not take up one kind of entry of the state."""

    ending = ""

    def run(self, q: Tensor, k: Tensor, v: Tensor, named: State, state: State) -> Any:
        return super().run(q, k, v, named, {name: tensor for name, tensor in state.items() if self.ending not in name})


@pytest.mark.parametrize(
    ("name", "ending"), [("muon at the chunk's end", "_pending"), ("window", "window_"), ("preconditioned", "precond")]
)
def test_a_part_of_the_state_that_is_dropped_is_seen(name: str, ending: str) -> None:
    operator = Drops(RULES[name])
    operator.ending = ending
    rows = {"splitting", "literal_forward"}
    assert failed(RULES[name], package_of(operator), only={*rows, "boundaries"}) == rows


class TakesEveryWindowForFull(LiteralOperator):
    def run(self, q: Tensor, k: Tensor, v: Tensor, named: State, state: State) -> Any:
        full = {"window_length": torch.full((q.shape[0],), 2)} if "window_length" in state else {}
        return super().run(q, k, v, named, {**state, **full})


def test_a_young_window_taken_for_a_full_one_is_seen() -> None:
    """Features that do not vanish with the key: an empty slot, k = 0 and v = 0, would write."""
    fields = RULES["window"] | {"feature_map": {"kind": "softmax"}}
    assert failed(fields, package_of(TakesEveryWindowForFull(fields)), only={"literal_forward", "splitting"}) == {"splitting"}


class OneRowPerToken(LiteralOperator):
    """Cuts packed sequences by tokens where there are several writes for each."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, cu_seqlens: Tensor | None = None, **others: Any) -> Any:
        if cu_seqlens is not None:
            half = k.shape[1] // 2
            k = torch.cat((k[:, half:], k[:, :half]), 1)
        return super().__call__(q, k, v, cu_seqlens=cu_seqlens, **others)


def test_writes_given_to_the_wrong_token_are_seen_when_packed() -> None:
    fields = RULES["steps"]
    assert failed(fields, package_of(OneRowPerToken(fields)), only={"literal_forward", "packing"}) == {"packing"}


class OverflowsFirst(LiteralOperator):
    """A softmax-like square that leaves the range of floats for inputs that the rule itself can bear."""

    def run(self, q: Tensor, k: Tensor, v: Tensor, named: State, state: State) -> Any:
        o, final, trace = super().run(q, k, v, named, state)
        huge = torch.exp(100 * v.abs().amax(-1, keepdim=True))
        return o + 0 * (huge - huge), final, trace


@pytest.mark.parametrize("name", ["two decays", "bregman"])
def test_an_overflow_that_the_rule_does_not_have_is_seen(name: str) -> None:
    """ψ = exp of the second overflows at 10⁴ itself, and is held to its own range."""
    fields = RULES[name]
    assert failed(fields, package_of(OverflowsFirst(fields)), only={"literal_forward", "large_inputs"}) == {"large_inputs"}


class DividesBySquares(LiteralOperator):
    """Nothing is added, but by way of 1/‖v‖²."""

    def run(self, q: Tensor, k: Tensor, v: Tensor, named: State, state: State) -> Any:
        o, final, trace = super().run(q, k, v, named, state)
        return o + 0 / v.square().sum(-1, keepdim=True), final, trace


def test_a_square_that_is_lost_near_zero_is_seen() -> None:
    fields = RULES["two decays"]
    assert failed(fields, package_of(DividesBySquares(fields)), only={"literal_forward", "large_inputs", "small_inputs"}) == {
        "small_inputs"
    }


def test_inputs_are_cut_by_token_whatever_their_rows() -> None:
    fields = RULES["steps"] | {"optimizer": GD | {"steps": 3}}
    given = draw_inputs(fields, InputShape(1, 6, 1, 2, 3), seed=0, eta=0.5)
    assert (given.q.shape[1], given.k.shape[1], given.gates["eta"].shape[1], given.gates["log_alpha"].shape[1]) == (6, 18, 18, 6)
    part = given.tokens(2, 4)
    assert torch.equal(part.k, given.k[:, 6:12])
    assert torch.equal(part.gates["eta"], given.gates["eta"][:, 6:12])
    assert torch.equal(part.gates["log_alpha"], given.gates["log_alpha"][:, 2:4])
    other = draw_inputs(fields, InputShape(1, 6, 1, 2, 3), seed=1, eta=0.5)
    joined = given.with_tail(other, 4)
    assert torch.equal(joined.v, torch.cat((given.v[:, :12], other.v[:, 12:]), 1))
    assert torch.equal(joined.state["W"], given.state["W"])


def test_drawn_inputs_have_the_shapes_and_ranges_of_their_letters() -> None:
    given = draw_inputs(RULES["window of gates per value channel"], InputShape(2, 5, 3, 4, 6), seed=0, eta=0.5, position=1)
    assert given.gates["gamma"].shape == (2, 5, 3, 3)
    assert given.gates["rho"].shape == (2, 5, 3, 6)
    assert 0 <= float(given.gates["gamma"].min()) <= float(given.gates["gamma"].max()) <= 1
    assert given.state["window_rho"].shape == (2, 3, 2, 6)
    assert given.state["window_length"].tolist() == [2, 2]
    polynomial = draw_inputs(RULES["polynomial"], InputShape(2, 5, 3, 4, 6), seed=0, eta=0.5)
    assert polynomial.state["W"].shape == (2, 3, 15, 6)
    assert polynomial.parameters["feature_coefficients"].shape == (3,)
