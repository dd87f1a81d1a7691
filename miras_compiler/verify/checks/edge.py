"""The corners: correlated keys with full steps, decays at both ends, a residual that is exactly zero."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs, correlated
from miras_compiler.verify.literal.gates import DECAYS, gate_keyword
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import Subject, pull_back

LARGEST = 1e6
COARSE = 1e-7
FLOORS = (-math.inf, -20.0, -5.0, -1.0)
LOG_DECAYS = (-0.1, -math.inf, -1e-12, -60.0, 0.0, -59.0, -1e4, -0.2)


def _against_the_literal_model(subject: Subject, tally: Tally, inputs: Inputs) -> None:
    """Outputs, final state and all gradients of both forms; a value that is not finite is an infinite error.

    Where rounding alone moves results by more than COARSE, and a comparison fails, only the first half of the tokens is held to it, or
    half of these.
    """
    trial = Tally(tally.limit)
    pulled = (expected, expected_state), expected_gradients = pull_back(subject.literal_run, inputs)
    rounding = subject.rounding(inputs, pulled=lambda: pulled)
    trial.about(rounding)
    for name, run in subject.forms.items():
        (output, state), gradients = pull_back(run, inputs)
        trial.compare(f"{name} o", output, expected)
        trial.compare_all(f"{name} state", state, expected_state)
        trial.compare_all(f"{name} d", gradients, expected_gradients)
    strained = bool(trial.remarks) or not trial.error <= tally.limit
    if strained and inputs.length > 1 and max(rounding().values()) > COARSE:
        tally.remark(f"over {inputs.length} tokens rounding alone moves results by {min(1.0, max(rounding().values())):.0e}")
        _against_the_literal_model(subject, tally, inputs.tokens(0, (inputs.length + 1) // 2))
    else:
        tally.take(trial)


def correlated_keys(subject: Subject, tally: Tally) -> None:
    """Keys at cosine ≥ 0.9, alpha 1, and a step that would correct the whole error of one key at once.

    A rule that itself explodes at such a step (p > 2 in lp) is tried at the largest half, quarter, … at which it does not.
    """
    step = 1 / float(subject.fields["attentional_bias"].get("scale") or 1)
    length = 9 if subject.has_grid else subject.long
    inputs = correlated(subject.inputs(length, seed=31, position=subject.border - 4), step)
    while not _is_bounded(subject, inputs) and step > 1e-6:
        step /= 2
        inputs = correlated(subject.inputs(length, seed=31, position=subject.border - 4), step)
    tally.remarks.append(f"eta {step:g}")
    _against_the_literal_model(subject, tally, inputs)


def _is_bounded(subject: Subject, inputs: Inputs) -> bool:
    with torch.no_grad():
        output, _ = subject.literal_run(inputs)
    return bool(output.abs().max() < LARGEST)  # also False for nan


def extreme_decays(subject: Subject, tally: Tally) -> None:
    """Decays of exactly 0, e^−60 and 1 in turn, offset against each other.

    A rule that has no numbers there (a map of degree −1 divides by the rest) is tried with the strongest decays at which it has.
    """
    for floor in FLOORS:
        inputs = _with_decays(subject, floor)
        with torch.no_grad():
            output, state = subject.literal_run(inputs)
        if all(bool(x.isfinite().all()) for x in (output, *state.values())):
            break
        tally.remark(f"log decays of {floor:g}: no numbers in the literal model itself")
    _against_the_literal_model(subject, tally, inputs)


def _with_decays(subject: Subject, floor: float) -> Inputs:
    inputs = subject.inputs(2 * len(LOG_DECAYS) + 1, seed=32, position=subject.border - 4)
    gates = dict(inputs.gates)
    for shift, name in enumerate(gate_keyword(name) for name in DECAYS if name in subject.fields["gates"]):
        ring = torch.tensor(LOG_DECAYS, dtype=torch.float64).clamp(min=floor).roll(shift).repeat(3)[: inputs.length]
        gates[name] = ring.reshape(-1, *[1] * (gates[name].dim() - 2)).expand_as(gates[name]).clone()
    return replace(inputs, gates=gates)


def has_decay(subject: Subject) -> bool:
    return bool(set(DECAYS) & set(subject.fields["gates"]))


def is_linear_in_its_state(subject: Subject) -> bool:
    plain = subject.fields["memory"]["kind"] in ("matrix", "vector") and subject.fields["memory"]["norm"] == "none"
    return has_decay(subject) and plain and subject.fields["retention"]["kind"] == "l2" and subject.fields["optimizer"]["kind"] != "muon"


def least_decay(subject: Subject, tally: Tally) -> None:
    """Log decays below −60 are read as −60: of a state of e^60 something is left, and no step is taken that would hide it.

    A loss that has no numbers at such a prediction is tried with a state as it is.
    """
    for exponent in (60.0, 0.0):
        inputs = _decayed_once(subject, exponent)
        (output, state), gradients = pull_back(subject.literal_run, inputs)
        if all(bool(x.isfinite().all()) for x in (output, *state.values(), *gradients.values())):
            break
        tally.remark(f"a state of e^{exponent:g}: no numbers in the literal model itself")
    _against_the_literal_model(subject, tally, inputs)


def _decayed_once(subject: Subject, exponent: float) -> Inputs:
    inputs = subject.inputs(3, seed=35, position=subject.border - 4)
    gates = {**inputs.gates, "eta": torch.zeros_like(inputs.gates["eta"])}
    for name in (gate_keyword(name) for name in DECAYS if name in subject.fields["gates"]):
        gates[name] = torch.zeros_like(gates[name])
        gates[name][:, 0] = -70.0
    state = {name: tensor * math.exp(exponent) if tensor.is_floating_point() else tensor for name, tensor in inputs.state.items()}
    return replace(inputs, gates=gates, state=state)


def zero_residual(subject: Subject, tally: Tally) -> None:
    """e = 0 to the bit at every second write (k = 0, so u is ln_bias or 0), and at the first token of a memory of zeros."""
    inputs = subject.inputs(6, seed=33, position=subject.border - 3)
    even = (torch.arange(inputs.k.shape[1]) % 2 == 0)[None, :, None, None]
    nothing = inputs.parameters["ln_bias"].expand_as(inputs.v) if "ln_bias" in inputs.parameters else torch.zeros_like(inputs.v)
    silent = replace(inputs, k=torch.where(even, torch.zeros_like(inputs.k), inputs.k), v=torch.where(even, nothing, inputs.v))
    _against_the_literal_model(subject, tally, silent)
    if subject.fields["retention"]["kind"] in ("none", "l2"):
        empty = subject.inputs(6, seed=34)
        state = {name: torch.zeros_like(tensor) for name, tensor in empty.state.items()}
        residual = empty.k if subject.fields["memory"]["residual"] else torch.zeros_like(empty.v)
        bias = empty.parameters.get("ln_bias", torch.zeros_like(empty.v))
        _against_the_literal_model(subject, tally, replace(empty, v=residual + bias, state=state))


EDGE = (
    Check("edge", "keys at cosine ≥ 0.9, full step, alpha 1", 1e-9, correlated_keys),
    Check("edge", "log decays −∞, −60, 0", 1e-9, extreme_decays, has_decay),
    Check("edge", "log decays below −60 are read as −60", 1e-9, least_decay, is_linear_in_its_state),
    Check("edge", "zero residual: finite values and gradients", 1e-9, zero_residual),
)
