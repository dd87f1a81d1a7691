"""Verification refuses a package whose forms disagree, or for which a sequence means something else when it is cut or packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.literal_package import LiteralOperator, literal_package, package_of
from kit.verify_mutants import DELTA, FORWARD, INNER, SHALLOW, TITANS, failed

pytestmark = pytest.mark.slow

State = Mapping[str, Tensor]
Result = tuple[Tensor, dict[str, Tensor] | None]


class Wrapped(LiteralOperator):
    """The literal operator, with `enter` and `leave` to tamper with the inputs and the outputs of one sequence."""

    def run(self, q: Tensor, k: Tensor, v: Tensor, named: State, state: State) -> Any:
        o, final, trace = super().run(q, k, v, self.enter_gates(named), self.enter(state))
        return self.leave(o, v, named), final, trace

    def enter(self, state: State) -> State:
        return state

    def enter_gates(self, named: State) -> State:
        return named

    def leave(self, o: Tensor, v: Tensor, named: State) -> Tensor:
        return o


class SeesTheFuture(Wrapped):
    """So little that no tolerance notices."""

    def leave(self, o: Tensor, v: Tensor, named: State) -> Tensor:
        return o + 1e-12 * torch.cat((v[:, 1:, :, :1], torch.zeros_like(v[:, :1, :, :1])), 1)


@pytest.mark.slow
def test_a_future_token_that_leaks_is_seen_in_the_bits() -> None:
    assert failed(SHALLOW, package_of(SeesTheFuture(SHALLOW)), only={*FORWARD, *INNER, "ungated"}) == {"prefix_causality"}


class SwallowsOverflow(Wrapped):
    """A later token that is beyond floats spoils earlier ones, and no NaN shows it."""

    def leave(self, o: Tensor, v: Tensor, named: State) -> Tensor:
        return o if v.isfinite().all() else torch.zeros_like(o)


@pytest.mark.slow
def test_outputs_that_a_later_overflow_silently_changes_are_seen() -> None:
    assert failed(SHALLOW, package_of(SwallowsOverflow(SHALLOW)), only={*INNER, "late_overflow"}) == {"late_overflow"}


class ForgetsMomentum(Wrapped):
    def enter(self, state: State) -> State:
        return {name: tensor for name, tensor in state.items() if not name.endswith("_momentum")}


class IgnoresPosition(Wrapped):
    def enter(self, state: State) -> State:
        return {name: tensor for name, tensor in state.items() if name != "position"}


class IgnoresStart(Wrapped):
    def enter(self, state: State) -> State:
        return {name: tensor for name, tensor in state.items() if not name.endswith("_start")}


class CutsGradient(Wrapped):
    """The state passed on carries no gradient."""

    def enter(self, state: State) -> State:
        return {name: tensor.detach() for name, tensor in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("operator", [ForgetsMomentum, IgnoresPosition, IgnoresStart])
def test_a_part_of_the_state_that_is_dropped_is_seen_when_a_sequence_is_split(operator: type[LiteralOperator]) -> None:
    rows = {"splitting", "split_gradients", "literal_forward"}
    assert failed(SHALLOW, package_of(operator(SHALLOW)), only=rows) == rows


def test_a_state_that_carries_no_gradient_is_seen_when_a_sequence_is_split() -> None:
    rows = {"split_gradients", "recurrent_gradients", "chunk_gradients", "finite_differences"}
    assert failed(DELTA, package_of(CutsGradient(DELTA)), only={*rows, *FORWARD, "parallel_form", "splitting"}) == rows


class LeaksAcrossSequences(LiteralOperator):
    """Every packed sequence starts from the state that the one before it has left."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, cu_seqlens: Tensor | None = None, **others: Any) -> Result:
        if cu_seqlens is None:
            return super().__call__(q, k, v, **others)
        first = {name: tensor[:1] for name, tensor in others.pop("initial_state").items()}
        o, state = super().__call__(q, k, v, initial_state=first, **others)
        return o, {name: tensor.repeat(len(cu_seqlens) - 1, *[1] * (tensor.dim() - 1)) for name, tensor in (state or {}).items()}


def test_a_state_that_leaks_between_packed_sequences_is_seen() -> None:
    assert failed(SHALLOW, package_of(LeaksAcrossSequences(SHALLOW)), only={*FORWARD, *INNER, "packing"}) == {"packing"}


@pytest.mark.parametrize("name", ["chunk", "fused_recurrent"])
def test_a_dispatch_that_loses_cu_seqlens_is_seen(name: str) -> None:
    changes: dict[str, Any] = {name: LeaksAcrossSequences(DELTA)}
    assert failed(DELTA, replace(literal_package(DELTA), **changes), only={"operators", "packing"}) == {"packing"}


class DependsOnTheTile(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, tile: int = 16, **others: Any) -> Result:
        o, state = super().__call__(q, k, v, **others)
        return o * (1 + 1e-7 * (tile == 5)), state


def test_a_chunk_form_that_depends_on_its_tile_is_seen() -> None:
    package = replace(literal_package(DELTA), torch_chunk=DependsOnTheTile(DELTA))
    assert failed(DELTA, package) == {"parallel_form", "chunk_gradients"}


class SubtractsLogarithms(Wrapped):
    """Decay triangles as differences of cumulated sums: −∞ − (−∞)."""

    def leave(self, o: Tensor, v: Tensor, named: State) -> Tensor:
        total = named["log_alpha"].cumsum(1)
        return o + 0 * (total - total)[..., None]


def test_a_reset_that_turns_into_nan_is_seen() -> None:
    assert failed(DELTA, package_of(SubtractsLogarithms(DELTA)), only={*FORWARD, "extreme_decays", "ungated"}) == {"extreme_decays"}


class DetachesDecay(Wrapped):
    def enter_gates(self, named: State) -> State:
        return {name: tensor.detach() if name == "log_mu" else tensor for name, tensor in named.items()}


def test_a_gate_without_gradient_is_seen() -> None:
    rows = {"recurrent_gradients", "chunk_gradients", "finite_differences"}
    assert failed(SHALLOW, package_of(DetachesDecay(SHALLOW)), only={*rows, *FORWARD, "parallel_form", "splitting"}) == rows


class Rounds(Wrapped):
    """Differs from the literal model as another order of summation does, the same way every time."""

    def enter(self, state: State) -> State:
        return {name: self._round(tensor) for name, tensor in state.items()}

    def leave(self, o: Tensor, v: Tensor, named: State) -> Tensor:
        return self._round(o)

    def _round(self, x: Tensor) -> Tensor:
        return x * (1 + 4 * torch.finfo(x.dtype).eps * torch.sin(1e3 * x.detach())) if x.dtype in (torch.float64, torch.float32) else x


def test_another_order_of_summation_is_accepted() -> None:
    assert failed(TITANS, package_of(Rounds(TITANS)), without={"finite_differences", "poisoned"}) == set()
