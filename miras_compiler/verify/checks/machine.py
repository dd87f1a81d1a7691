"""Bits and bytes: repeatability, uninitialised memory, and the precisions of the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs, Run
from miras_compiler.verify.measure import Tally, rms_error
from miras_compiler.verify.poison import PoisonedAllocations
from miras_compiler.verify.rounding import Pulled, least_scales, named, rounding_in
from miras_compiler.verify.subject import Subject, pull_back

SINGLE, HALF = 1e-5, 5e-3  # RMS of the error over RMS of the reference


def _same(tally: Tally, label: str, first: Any, second: Any) -> None:
    (output, state), gradients = first
    (output2, state2), gradients2 = second
    tally.same_bits(f"{label} o", output2, output)
    for name in state:
        tally.same_bits(f"{label} state {name}", state2[name], state[name])
    for name in gradients:
        tally.same_bits(f"{label} d{name}", gradients2[name], gradients[name])


def repeatable(subject: Subject, tally: Tally) -> None:
    inputs = subject.crossing(51)
    for name, run in subject.forms.items():
        _same(tally, name, pull_back(run, inputs), pull_back(run, inputs))


def poisoned(subject: Subject, tally: Tally) -> None:
    inputs = subject.crossing(52)
    for name, run in subject.forms.items():
        plain = pull_back(run, inputs)
        with PoisonedAllocations():  # type: ignore[no-untyped-call]
            poisoned = pull_back(run, inputs)
        _same(tally, name, plain, poisoned)


def dtypes(subject: Subject, tally: Tally) -> None:
    """Outputs in the inputs' dtype; states in float32, or float64 when given float64."""
    inputs = subject.inputs(7, seed=53)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        state_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        given = cast(inputs, dtype, state_dtype)
        for name, run in subject.forms.items():
            (output, state), gradients = pull_back(run, given)
            tally.require(f"{name}: {dtype} inputs give {output.dtype} outputs", output.dtype == dtype)
            for entry, tensor in state.items():
                right = torch.int64 if entry in ("position", "window_length") else state_dtype
                tally.require(f"{name}: {dtype} inputs give a {tensor.dtype} state {entry}", tensor.dtype == right)
            for entry, tensor in given.leaves().items():
                tally.require(f"{name}: d{entry} is {gradients[entry].dtype}", gradients[entry].dtype == tensor.dtype)


def cast(inputs: Inputs, dtype: torch.dtype, state_dtype: torch.dtype) -> Inputs:
    """Tokens, gates and parameters in `dtype`, the state in `state_dtype`."""
    state = {name: tensor.to(state_dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.state.items()}
    return replace(inputs.map(lambda tensor: tensor.to(dtype)), state=state)


def compare_precision(subject: Subject, tally: Tally, label: str, run: Run, rounded: Inputs, limit: float) -> None:
    """A form against the literal model in float64, on the same inputs and cotangents, rounded to the inputs' precision."""
    dtype = rounded.q.dtype

    def literal(inputs: Inputs) -> Pulled:
        return pull_back(subject.literal_run, inputs, dtype)

    compare_rounded(tally, f"{label} ", pull_back(run, rounded, dtype), literal, rounded, limit)


def compare_rounded(tally: Tally, label: str, found: Pulled, literal: Callable[[Inputs], Pulled], inputs: Inputs, limit: float) -> None:
    """Results against those of the literal model in float64; integers must be equal.

    Where the literal model itself, computed in the inputs' precision, is off by more than a quarter of the limit, four times its error is
    the limit for that tensor, and the error entered in the table is scaled accordingly. Its error is the worst of a few inputs that differ
    in their last bits: one alone may be lucky.
    """
    exact = named(literal(inputs.map(Tensor.double)))
    scales = least_scales(exact)
    own: dict[str, float] = {}
    for entry, tensor in named(found).items():
        if not tensor.is_floating_point():
            tally.same_bits(f"{label}{entry}", tensor, exact[entry])
            continue
        error, allowed = rms_error(tensor, exact[entry], scales[entry]), limit
        tally.blame(error, exact[entry])
        if error > limit:
            own = own or rounding_in(literal, inputs, exact)
            allowed = max(limit, 4 * own[entry])
            tally.remark(f"the literal model itself: {own[entry]:.1e} ({entry})")
        tally.add(f"{label}{entry}: {error:.1e} of {allowed:.1e}", error * limit / allowed)


def _precision(subject: Subject, tally: Tally, dtype: torch.dtype, limit: float) -> None:
    rounded = cast(subject.crossing(54), dtype, torch.float32)
    for name, run in subject.forms.items():
        compare_precision(subject, tally, name, run, rounded, limit)


def single_precision(subject: Subject, tally: Tally) -> None:
    _precision(subject, tally, torch.float32, SINGLE)


def half_precision(subject: Subject, tally: Tally) -> None:
    _precision(subject, tally, torch.bfloat16, HALF)


MACHINE = (
    Check("machine", "twice the same bits", 0.0, repeatable),
    Check("machine", "the same bits when allocations hold NaN", 0.0, poisoned),
    Check("machine", "dtypes of outputs, states and gradients", 0.0, dtypes),
    Check("machine", "float32 against float64 (RMS)", SINGLE, single_precision),
    Check("machine", "bfloat16 inputs against float64 (RMS)", HALF, half_precision),
)
