"""The Triton kernels of a package: on a GPU, or on the CPU under TRITON_INTERPRET=1, in float32.

Bfloat16, real lengths and every width are the business of `make test-gpu`.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.checks.machine import SINGLE, cast
from miras_compiler.verify.inputs import Inputs, correlated
from miras_compiler.verify.measure import Tally, rms_error
from miras_compiler.verify.package import Operator
from miras_compiler.verify.subject import Result, Run, Subject, call, pull_back


def has_kernels(subject: Subject) -> bool:
    return bool(subject.package.manifest.get("kernels", {}).get("triton"))


def can_run(subject: Subject) -> bool:
    """Whether the package has kernels and this process can run them."""
    installed = importlib.util.find_spec("triton") is not None
    return has_kernels(subject) and installed and (torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1")


def cannot_run(subject: Subject) -> bool:
    return has_kernels(subject) and not can_run(subject)


def on_device(subject: Subject, operator: Operator | None = None) -> Run:
    """The operator, chunk_<name> or the one that is given, with its Triton kernels, on CPU tensors and back."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def run(inputs: Inputs) -> Result:
        moved = inputs.map(lambda tensor: tensor.to(device))
        state = {name: tensor.to(device) for name, tensor in moved.state.items()}
        offsets = None if moved.cu_seqlens is None else moved.cu_seqlens.to(device)
        given = replace(moved, state=state, cu_seqlens=offsets)
        output, final = call(operator or subject.package.chunk, given, output_final_state=True, backend="triton")
        return output.cpu(), {name: tensor.cpu() for name, tensor in final.items()}

    return run


def _probes(subject: Subject) -> dict[str, Inputs]:
    probes = {"across a boundary": subject.crossing(61), "correlated keys": correlated(subject.crossing(62), subject.step)}
    return probes if subject.quick else {**probes, f"T {subject.long}": subject.inputs(subject.long, seed=63)}


def single_precision(subject: Subject, tally: Tally) -> None:
    """Outputs, final states and gradients against the literal model in float64, on inputs that float32 holds."""
    run = on_device(subject)
    for label, inputs in _probes(subject).items():
        rounded = cast(inputs, torch.float32, torch.float32)
        (output, state), gradients = pull_back(subject.literal_run, rounded.map(Tensor.double), torch.float32)
        (own, own_state), own_gradients = pull_back(subject.literal_run, rounded, torch.float32)
        (found, found_state), found_gradients = pull_back(run, rounded, torch.float32)
        rows = [("o", found, own, output)]
        rows += [(f"state {n}", found_state[n], own_state[n], x) for n, x in state.items() if x.is_floating_point()]
        rows += [(f"d{n}", found_gradients[n], own_gradients[n], x) for n, x in gradients.items()]
        for entry, actual, alike, expected in rows:
            error, allowed = rms_error(actual, expected), max(SINGLE, 4 * rms_error(alike, expected))
            tally.add(f"{label} {entry}: {error:.1e} of {allowed:.1e}", error * SINGLE / allowed)


def repeatable(subject: Subject, tally: Tally) -> None:
    run, inputs = on_device(subject), cast(subject.crossing(64), torch.float32, torch.float32)
    (output, state), gradients = pull_back(run, inputs, torch.float32)
    (output2, state2), gradients2 = pull_back(run, inputs, torch.float32)
    tally.same_bits("o", output2, output)
    for first, second in ((state, state2), (gradients, gradients2)):
        for name in first:
            tally.same_bits(name, second[name], first[name])


def prefix(subject: Subject, tally: Tally) -> None:
    """A change of the last tokens leaves the outputs before them as they are."""
    run, inputs = on_device(subject), cast(subject.crossing(65), torch.float32, torch.float32)
    half = inputs.length // 2
    changed = replace(inputs, v=torch.cat((inputs.v[:, :half], -inputs.v[:, half:]), 1))
    with torch.no_grad():
        tally.same_bits("o", run(changed)[0][:, :half], run(inputs)[0][:, :half])


def decoding(subject: Subject, tally: Tally) -> None:
    """Token by token, the state handed on: outputs and final states against the literal model in float64."""
    run = on_device(subject, subject.package.fused_recurrent)
    inputs = cast(subject.crossing(66), torch.float32, torch.float32)
    with torch.no_grad():
        output, state = subject.literal_run(inputs.map(Tensor.double))
        own, own_state = subject.literal_run(inputs)
        pieces, found_state = [], inputs.state
        for t in range(inputs.length):
            piece, found_state = run(replace(inputs.tokens(t, t + 1), state=found_state))
            pieces.append(piece)
    rows = [("o", torch.cat(pieces, 1), own, output)]
    rows += [(f"state {n}", found_state[n], own_state[n], x) for n, x in state.items() if x.is_floating_point()]
    for entry, actual, alike, expected in rows:
        error, allowed = rms_error(actual, expected), max(SINGLE, 4 * rms_error(alike, expected))
        tally.add(f"{entry}: {error:.1e} of {allowed:.1e}", error * SINGLE / allowed)
    for name, x in state.items():
        if not x.is_floating_point():
            tally.same_bits(name, found_state[name], x)


def not_run(subject: Subject, tally: Tally) -> None:
    tally.not_run = "they need a GPU, or TRITON_INTERPRET=1 with Triton installed"


TRITON = (
    Check("triton", "float32 kernels against float64 (RMS)", SINGLE, single_precision, can_run),
    Check("triton", "fused_recurrent, one token at a time", SINGLE, decoding, can_run),
    Check("triton", "kernels: twice the same bits", 0.0, repeatable, can_run),
    Check("triton", "later tokens do not reach earlier outputs", 0.0, prefix, can_run),
    Check("triton", "kernels", 0.0, not_run, cannot_run),
)
