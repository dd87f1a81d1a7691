"""A sequence means the same however it is cut: causality, splitting with the state passed on, packing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs, Result, Run
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import BEFORE, CROSSING, Subject, pull_back


def prefix_causality(subject: Subject, tally: Tally) -> None:
    """Tokens t and later are replaced, gates too: outputs before t keep their bits."""
    inputs = subject.probes[CROSSING]
    _causality(subject, tally, inputs, subject.crossing(21), (1, BEFORE, BEFORE + 1, inputs.length - 1))
    if not subject.quick:
        long = subject.inputs(subject.long, seed=22)
        _causality(subject, tally, long, subject.inputs(subject.long, seed=23), (7, min(subject.chunk, subject.long - 2), subject.long - 1))


def _causality(subject: Subject, tally: Tally, inputs: Inputs, other: Inputs, cuts: Iterable[int]) -> None:
    with torch.no_grad():
        for name, run in subject.forms.items():
            whole, _ = run(inputs)
            for t in cuts:
                changed, _ = run(inputs.with_tail(replace(other, v=3 * other.v), t))
                if not changed.isfinite().all():  # the rule explodes at such values (p > 2 in lp), and 0 · ∞ is no number
                    changed, _ = run(inputs.with_tail(other, t))
                tally.same_bits(f"{name}, T {inputs.length}, tokens from {t} changed", changed[:, :t], whole[:, :t])


def split(run: Run, cuts: Sequence[int]) -> Run:
    """`run` on the pieces between cuts, each handing its final state to the next."""

    def pieces(inputs: Inputs) -> Result:
        outputs, state = [], dict(inputs.state)
        for first, end in zip((0, *cuts), (*cuts, inputs.length), strict=True):
            output, state = run(replace(inputs.tokens(first, end), state=state))
            outputs.append(output)
        return torch.cat(outputs, 1), state

    return pieces


def splitting(subject: Subject, tally: Tally) -> None:
    long = f"T {subject.long}"
    around: Sequence[int] = (subject.chunk - 1, subject.chunk, subject.chunk + 1)
    if not subject.has_grid or subject.chunk + 1 >= subject.long:
        around = (1, 6)
    ways: list[tuple[str, Sequence[int]]] = [(CROSSING, range(1, subject.probes[CROSSING].length)), (long, around)]
    if not subject.quick:
        ways += [(long, (max(min(subject.chunk, subject.long) // 2, 7),)), (long, range(1, subject.long))]
    with torch.no_grad():
        for name, run in subject.forms.items():
            whole = subject.recurrent if name == "recurrent" else {label: run(subject.probes[label]) for label in (CROSSING, long)}
            for label, cuts in ways:
                tally.about(subject.roundings[label])
                output, final = split(run, cuts)(subject.probes[label])
                tally.compare(f"{name} {label} {_told(cuts)} o", output, whole[label][0])
                tally.compare_all(f"{name} {label} {_told(cuts)} state", final, whole[label][1])
    tally.remarks.append("; ".join(f"{label} {_told(cuts)}" for label, cuts in ways))


def _told(cuts: Sequence[int]) -> str:
    return "token by token" if isinstance(cuts, range) else f"cut at {', '.join(map(str, cuts))}"


def split_gradients(subject: Subject, tally: Tally) -> None:
    """Backward through the passed state, with cuts inside a chunk, at its end, and (over the last few tokens) one token at a time."""
    inputs = subject.probes[CROSSING]
    cuts = (3, BEFORE, BEFORE + 1, *range(inputs.length - 3, inputs.length))
    tally.about(subject.roundings[CROSSING])
    for name, run in subject.forms.items():
        _, whole = pull_back(run, inputs)
        _, pieces = pull_back(split(run, cuts), inputs)
        tally.compare_all(f"{name} d", pieces, whole)


def packing(subject: Subject, tally: Tally) -> None:
    """Sequences of odd lengths, each with its own state, some of them in the middle of a chunk, packed into one row."""
    lengths = (5, 1, 7, 2) if subject.quick else (5, 1, min(subject.chunk, subject.long) + 3, 2, 11)
    packed, offsets = packed_inputs(subject, lengths)
    tally.about(subject.rounding(packed, separately(subject.literal_run, offsets)))
    for name, run in subject.forms.items():
        (output, state), gradients = pull_back(run, packed)
        (expected, expected_state), expected_gradients = pull_back(separately(run, offsets), packed)
        tally.compare(f"{name} o", output, expected)
        tally.compare_all(f"{name} state", state, expected_state)
        tally.compare_all(f"{name} d", gradients, expected_gradients)
    with torch.no_grad():
        for name, operator in subject.operators.items():
            output, state = subject.run(operator)(packed)
            tally.compare(f"{name} o", output, expected)
            tally.compare_all(f"{name} state", state, expected_state)
        if subject.literal.window > 1:
            empty = replace(packed, state={name: tensor for name, tensor in packed.state.items() if not name.startswith("window_")})
            for name, run in subject.forms.items():
                for which, way in {"packed": run, "separate": separately(run, offsets)}.items():
                    output, state = way(empty)
                    again, final = way(replace(packed, state=state))
                    if which == "packed":
                        twice = torch.cat((output, again), 1), final
                tally.compare(f"{name} twice, from empty windows o", twice[0], torch.cat((output, again), 1))
                tally.compare_all(f"{name} twice, from empty windows state", twice[1], final)
    tally.remarks.append(f"lengths {', '.join(map(str, lengths))}")


def packed_inputs(subject: Subject, lengths: Sequence[int]) -> tuple[Inputs, Sequence[int]]:
    """Sequences of these lengths in one row, each with a state of its own, and their borders."""
    offsets = (0, *itertools.accumulate(lengths))
    tokens = subject.inputs(sum(lengths), seed=25, batch=1)
    states = subject.inputs(1, seed=26, batch=len(lengths), position=subject.border - 2).state
    return replace(tokens, state=states, cu_seqlens=torch.tensor(offsets, dtype=torch.int32)), offsets


def separately(run: Run, offsets: Sequence[int]) -> Run:
    """`run` on the sequences one by one, between these borders."""

    def one_by_one(packed: Inputs) -> Result:
        results = []
        for n, (first, end) in enumerate(itertools.pairwise(offsets)):
            state = {name: tensor[n : n + 1] for name, tensor in packed.state.items()}
            results.append(run(replace(packed.tokens(first, end), state=state, cu_seqlens=None)))
        states: list[Mapping[str, Tensor]] = [state for _, state in results]
        return torch.cat([output for output, _ in results], 1), {name: torch.cat([state[name] for state in states]) for name in states[0]}

    return one_by_one


SEQUENCES = (
    Check("sequences", "outputs before t keep their bits when tokens ≥ t change", 0.0, prefix_causality),
    Check("sequences", "split anywhere, state passed ≡ whole", 1e-9, splitting),
    Check("sequences", "gradients through the passed state ≡ whole", 1e-9, split_gradients),
    Check("sequences", "packed (cu_seqlens) ≡ separate, gradients too", 1e-9, packing),
)
