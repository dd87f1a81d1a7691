"""The Triton kernels of a package: on a GPU, or in Triton's interpreter where there is none, in float32.

Bfloat16, real lengths and every width are the business of `make test-gpu`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.checks.machine import SINGLE, cast, compare_precision, compare_rounded
from miras_compiler.verify.checks.sequences import packed_inputs, separately
from miras_compiler.verify.inputs import Inputs, Result, Run, correlated
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.process import KernelsRefused
from miras_compiler.verify.subject import BEFORE, CROSSING, Subject, call, pull_back

WIDE = 72  # channels of a head, more than the 64 of a block
FEW = 3  # tokens that are decoded one by one where that is slow


def can_run(subject: Subject) -> bool:
    """True if the package has kernels that this machine can run."""
    return subject.package.triton_chunk is not None


def cannot_run(subject: Subject) -> bool:
    return bool(subject.package.why_no_kernels)


def is_slow(subject: Subject) -> bool:
    """In the interpreter every operation of every program is a call of numpy."""
    return subject.quick and subject.package.interpreted


def can_run_all(subject: Subject) -> bool:
    return can_run(subject) and not is_slow(subject)


def walks_chunks(subject: Subject) -> bool:
    """True if sequences that begin with a chunk have kernels of their own."""
    return bool(subject.package.manifest.get("kernels", {}).get("schedule") == "chunk_walk")


def kernels(subject: Subject) -> Run:
    """chunk_<name> with its kernels."""
    operator = subject.package.triton_chunk
    assert operator is not None
    return lambda inputs: call(operator, inputs, output_final_state=True)


def _probes(subject: Subject) -> dict[str, Inputs]:
    fresh = {"a chunk and a token": subject.inputs(subject.chunk + 1, seed=67, batch=1)} if walks_chunks(subject) else {}
    probes = {CROSSING: subject.crossing(61), "correlated keys": correlated(subject.crossing(62), subject.step)} | fresh
    if is_slow(subject):
        return {CROSSING: probes[CROSSING]} | fresh
    return probes if subject.quick else {**probes, f"T {subject.long}": subject.inputs(subject.long, seed=63)}


def single_precision(subject: Subject, tally: Tally) -> None:
    """Outputs, final states and gradients against the literal model in float64, on inputs that float32 holds."""
    for label, inputs in _probes(subject).items():
        rounded = cast(inputs, torch.float32, torch.float32)
        compare_precision(subject, tally, label, kernels(subject), rounded, SINGLE)


def wide(subject: Subject, tally: Tally) -> None:
    """The same for heads that are wider than the channels which a program holds at once: some kernels go through them in blocks."""
    inputs = cast(subject.crossing(68, batch=1, key=WIDE), torch.float32, torch.float32)
    try:
        compare_precision(subject, tally, f"K {WIDE}", kernels(subject), inputs, SINGLE)
    except KernelsRefused as problem:
        tally.not_run = str(problem)


def repeatable(subject: Subject, tally: Tally) -> None:
    run, inputs = kernels(subject), cast(subject.crossing(64), torch.float32, torch.float32)
    (output, state), gradients = pull_back(run, inputs, torch.float32)
    (output2, state2), gradients2 = pull_back(run, inputs, torch.float32)
    tally.same_bits("o", output2, output)
    for first, second in ((state, state2), (gradients, gradients2)):
        for name in first:
            tally.same_bits(name, second[name], first[name])


def prefix(subject: Subject, tally: Tally) -> None:
    """A change of the last tokens leaves the outputs before them as they are."""
    run, inputs = kernels(subject), cast(subject.crossing(65), torch.float32, torch.float32)
    half = inputs.length // 2
    changed = inputs.with_tail(replace(inputs, v=-inputs.v), half)
    with torch.no_grad():
        tally.same_bits("o", run(changed)[0][:, :half], run(inputs)[0][:, :half])


def decoding(subject: Subject, tally: Tally) -> None:
    """Token by token, the state handed on: outputs and final states against the literal model in float64."""
    operator = subject.package.triton_fused_recurrent
    assert operator is not None
    inputs = cast(subject.crossing(66), torch.float32, torch.float32)
    if is_slow(subject):  # the last few tokens before the boundary, and the first behind it
        inputs = inputs.tokens(0, BEFORE + 1) if subject.has_grid else inputs.tokens(0, FEW)
    with torch.no_grad():
        pieces, state = [], dict(inputs.state)
        for t in range(inputs.length):
            piece, state = call(operator, replace(inputs.tokens(t, t + 1), state=state), output_final_state=True)
            pieces.append(piece)
    _compare(tally, (torch.cat(pieces, 1), state), subject.literal_run, inputs)


def packing(subject: Subject, tally: Tally) -> None:
    """Sequences in one row, each with its own state, against the literal model of each."""
    inputs, offsets = packed_inputs(subject, (2, 1) if is_slow(subject) else (5, 1, 7))
    rounded = cast(inputs, torch.float32, torch.float32)
    for operator in (subject.package.triton_chunk, subject.package.triton_fused_recurrent):
        assert operator is not None
        with torch.no_grad():
            found = call(operator, rounded, output_final_state=True)
        _compare(tally, found, separately(subject.literal_run, offsets), rounded)


def in_parts(subject: Subject, tally: Tally) -> None:
    """The same with gradients, where the backward pass takes one tile after another."""
    inputs, offsets = packed_inputs(subject, (2, 1) if is_slow(subject) else (5, 1, 7))
    rounded, operator = cast(inputs, torch.float32, torch.float32), subject.package.triton_in_parts
    assert operator is not None
    found = pull_back(lambda given: call(operator, given, output_final_state=True), rounded, torch.float32)
    literal = separately(subject.literal_run, offsets)
    compare_rounded(tally, "", found, lambda given: pull_back(literal, given, torch.float32), rounded, SINGLE)


def _compare(tally: Tally, found: Result, literal: Run, inputs: Inputs) -> None:
    """Outputs and states."""
    with torch.no_grad():
        compare_rounded(tally, "", (found, {}), lambda given: (literal(given), {}), inputs, SINGLE)


def not_run(subject: Subject, tally: Tally) -> None:
    tally.not_run = subject.package.why_no_kernels


TRITON = (
    Check("triton", "float32 kernels against float64 (RMS)", SINGLE, single_precision, can_run),
    Check("triton", "fused_recurrent, one token at a time", SINGLE, decoding, can_run),
    Check("triton", "kernels: packed (cu_seqlens) ≡ separate", SINGLE, packing, can_run),
    Check("triton", "kernels: the same, with gradients tile by tile", SINGLE, in_parts, can_run),
    Check("triton", "kernels: wide heads, in blocks of channels", SINGLE, wide, can_run_all),
    Check("triton", "kernels: twice the same bits", 0.0, repeatable, can_run_all),
    Check("triton", "later tokens do not reach earlier outputs", 0.0, prefix, can_run_all),
    Check("triton", "kernels", 0.0, not_run, cannot_run),
)
