"""Verification refuses a package that computes the right rule under another contract, or not every time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.literal_package import LiteralOperator, literal_package, package_of
from kit.verify_mutants import DELTA, SHALLOW, TITANS, failed
from miras_compiler.verify.literal.memory import weight_shapes
from miras_compiler.verify.package import Package
from miras_compiler.verify.poison import PoisonedAllocations
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

CONTRACT = {"boundaries", "absent_state", "manifest"}
PRECISION = {"literal_forward", "recurrent_gradients", "repeatable", "dtypes", "single_precision", "half_precision"}
Result = tuple[Tensor, dict[str, Tensor] | None]


class ReadsFreshMemory(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        o, state = super().__call__(q, k, v, **others)
        return o + (torch.empty(o.shape, dtype=torch.int64) == torch.iinfo(torch.int64).max), state


@pytest.mark.slow
def test_a_read_of_uninitialised_memory_is_seen() -> None:
    assert failed(DELTA, package_of(ReadsFreshMemory(DELTA)), only={"repeatable", "poisoned"}) == {"poisoned"}


def test_poisoned_allocations_hold_nan_and_the_largest_integer() -> None:
    with PoisonedAllocations():  # type: ignore[no-untyped-call]
        assert torch.empty(3).isnan().all()
        assert torch.zeros(3).new_empty(2).isnan().all()
        assert torch.empty_like(torch.zeros(3, dtype=torch.bfloat16)).isnan().all()
        assert torch.empty(2, dtype=torch.int32).tolist() == [2**31 - 1] * 2
        assert torch.empty(2, dtype=torch.bool).all()
        assert not torch.zeros(3).any()


class Noisy(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        o, state = super().__call__(q, k, v, **others)
        return o + self.noise * torch.randn_like(o), state

    noise = 1e-7


@pytest.mark.slow
def test_noise_is_seen() -> None:
    rows = {"repeatable", "poisoned", "prefix_causality", "literal_forward", "parallel_form"}
    assert failed(DELTA, package_of(Noisy(DELTA)), only=rows) == rows


@pytest.mark.slow
def test_noise_below_every_tolerance_is_seen_in_the_bits() -> None:
    operator = Noisy(DELTA)
    operator.noise = 1e-14
    rows = {"repeatable", "poisoned", "prefix_causality"}
    assert failed(DELTA, package_of(operator), only={*rows, "literal_forward", "parallel_form", "splitting", "packing"}) == rows


class WidensOutput(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        o, state = super().__call__(q, k, v, **others)
        return (o.float() if o.dtype == torch.bfloat16 else o), state


class NarrowsState(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        o, state = super().__call__(q, k, v, **others)
        narrow = q.dtype == torch.bfloat16
        return o, state and {name: tensor.bfloat16() if narrow and tensor.is_floating_point() else tensor for name, tensor in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("operator", [WidensOutput, NarrowsState])
def test_a_wrong_dtype_is_seen(operator: type[LiteralOperator]) -> None:
    assert failed(SHALLOW, package_of(operator(SHALLOW)), only=PRECISION) == {"dtypes"}


class ComputesInHalf(LiteralOperator):
    """Float32 inputs are rounded to bfloat16 on the way in."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        rounded = k.bfloat16().float() if k.dtype == torch.float32 else k
        return super().__call__(q, rounded, v, **others)


@pytest.mark.slow
def test_a_lost_precision_is_seen() -> None:
    assert failed(SHALLOW, package_of(ComputesInHalf(SHALLOW)), only=PRECISION) == {"single_precision"}


class InventsState(LiteralOperator):
    def state(self, given: Mapping[str, Tensor] | None, q: Tensor, v: Tensor) -> Mapping[str, Tensor]:
        shapes = weight_shapes(self.fields["memory"], q.shape[-1], v.shape[-1], q.shape[-1])
        return given or {name: q.new_zeros(q.shape[0], q.shape[2], *shape) for name, shape in shapes.items()}


def test_a_deep_memory_that_starts_from_nothing_is_seen() -> None:
    assert failed(TITANS, package_of(InventsState(TITANS)), only=CONTRACT) == {"absent_state"}


class WithoutEntry(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        o, state = super().__call__(q, k, v, **others)
        return o, state and {name: tensor for name, tensor in state.items() if name != "position"}


@pytest.mark.slow
def test_a_missing_entry_of_the_state_is_seen() -> None:
    rows = {"literal_forward", "boundaries", "manifest", "splitting"}
    assert failed(SHALLOW, package_of(WithoutEntry(SHALLOW)), only=rows) == rows


class AlwaysReturnsState(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, output_final_state: bool = False, **others: Any) -> Result:
        return super().__call__(q, k, v, output_final_state=True, **others)


def test_a_state_that_nobody_asked_for_is_seen() -> None:
    assert failed(DELTA, package_of(AlwaysReturnsState(DELTA)), only=CONTRACT) == {"boundaries"}


def _with_manifest(**changes: object) -> Package:
    package = literal_package(TITANS)
    return replace(package, manifest=package.manifest | changes)


@pytest.mark.slow
def test_a_manifest_that_lists_other_inputs_is_seen() -> None:
    inputs = literal_package(TITANS).manifest["inputs"]
    assert failed(TITANS, _with_manifest(inputs=inputs[:-1]), only=CONTRACT) == {"manifest"}
    assert failed(DELTA, replace(literal_package(DELTA), manifest=literal_package(TITANS).manifest), only=CONTRACT) == {"manifest"}


def test_a_manifest_with_the_axes_of_another_state_is_seen() -> None:
    state = literal_package(TITANS).manifest["state"]
    swapped = [entry | {"axes": ["B", "H", "N", "K"]} if entry["name"] == "W1" else entry for entry in state]
    assert failed(TITANS, _with_manifest(state=swapped), only=CONTRACT) == {"manifest"}


def test_a_trace_of_something_else_is_seen() -> None:
    operator = LiteralOperator(DELTA)

    def trace(*given: Tensor, **named: Any) -> Any:
        measured = operator.trace(*given, **named)
        return measured._replace(error=measured.loss)

    assert failed(DELTA, replace(literal_package(DELTA), trace=trace), only={"literal_forward", "literal_trace"}) == {"literal_trace"}


class Raises(LiteralOperator):
    def __call__(self, q: Tensor, k: Tensor, v: Tensor, **others: Any) -> Result:
        raise RuntimeError("no such kernel\nwith a long explanation")


@pytest.mark.slow
def test_an_operator_that_raises_fails_its_rows_and_the_others_are_still_tried() -> None:
    package = replace(literal_package(DELTA), fused_recurrent=Raises(DELTA))
    rows = check_subject(Subject(DELTA, package, quick=True))
    refused = {row.subject: row.note for row in rows if not row.passed}
    assert set(refused.values()) == {"RuntimeError: no such kernel"}
    assert len(rows) - len(refused) >= 18
