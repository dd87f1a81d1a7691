"""Gradients of every input, gate, parameter and initial state ≡ autograd through the literal model, and finite differences agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs, Run
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.package import Operator
from miras_compiler.verify.subject import CROSSING, Subject, pull_back, weighted

DIRECTIONS = 3
STEPS = (3e-7, 3e-8, 3e-9)  # a shorter one where a longer one may cross a kink, such as that of a relu
SLACK = 1e-5


def recurrent_gradients(subject: Subject, tally: Tally) -> None:
    _compare(subject, tally, {"recurrent": subject.run(subject.package.naive_recurrent)}, subject.probes)


def chunk_gradients(subject: Subject, tally: Tally) -> None:
    chunk = subject.package.torch_chunk
    _compare(subject, tally, {"chunk": subject.run(chunk), "chunk tile 5": subject.run(chunk, tile=5)}, subject.probes)
    _compare(subject, tally, {name: subject.run(operator) for name, operator in subject.operators.items()}, (CROSSING,))
    tally.remarks.append(f"{len(subject.probes[CROSSING].leaves())} tensors, from outputs and final state")


def _compare(subject: Subject, tally: Tally, runs: Mapping[str, Run], labels: Iterable[str]) -> None:
    for label in labels:
        _, expected = subject.expected[label]
        tally.about(subject.roundings[label])
        for name, run in runs.items():
            _, gradients = pull_back(run, subject.probes[label])
            tally.compare_all(f"{label} {name} d", gradients, expected)


def finite_differences(subject: Subject, tally: Tally) -> None:
    """Three tokens that cross a chunk boundary where there is one, against differences of the form itself.

    Of the chunk form of a shallow memory every entry of the Jacobian (torch.autograd.gradcheck); of the recurrent form, of deep memories
    and in quick mode of all, the slopes along three random directions in which every input moves.
    """
    inputs = subject.inputs(3, seed=14, position=subject.border - 2, batch=1, heads=1, key=3)
    deep = len(subject.literal.weight_names) > 1
    for name, operator in {"chunk": subject.package.torch_chunk, "recurrent": subject.package.naive_recurrent}.items():
        if subject.quick or deep or name == "recurrent":
            along_directions(tally, name, subject.run(operator), inputs)
        else:
            tally.require(name, _gradcheck(subject, operator, inputs))


def along_directions(tally: Tally, name: str, run: Run, inputs: Inputs) -> None:
    """⟨gradient, direction⟩ ≡ the central differences of ⟨outputs and final state, cotangents⟩ along the direction, extrapolated."""
    _, gradients = pull_back(run, inputs)
    generator = torch.Generator().manual_seed(1)
    for turn in range(DIRECTIONS):
        direction = {leaf: torch.randn(x.shape, generator=generator, dtype=x.dtype) for leaf, x in inputs.leaves().items()}
        slope = sum(float((gradients[leaf] * direction[leaf]).sum()) for leaf in direction)
        for step in STEPS:
            wide, narrow = (_difference(run, inputs, direction, length) for length in (step, step / 2))
            difference = (4 * narrow - wide) / 3  # without the term of the square of the step, which steep rules leave
            agrees = abs(slope - difference) <= SLACK * max(1.0, abs(slope), abs(difference))
            if agrees:
                break
        tally.require(f"{name}, direction {turn}: {slope:.9g} by autograd, {difference:.9g} by differences", agrees)


def _difference(run: Run, inputs: Inputs, direction: Mapping[str, Tensor], step: float) -> float:
    """The central difference of ⟨outputs and final state, cotangents⟩ over a step to either side."""
    ahead, behind = (
        float(weighted(run(_with_leaves(inputs, {leaf: x + way * direction[leaf] for leaf, x in inputs.leaves().items()}))))
        for way in (step, -step)
    )
    return (ahead - behind) / (2 * step)


def _with_leaves(inputs: Inputs, leaves: Mapping[str, Tensor]) -> Inputs:
    """The inputs with these tensors, named as by `leaves`."""
    return replace(
        inputs, q=leaves["q"], k=leaves["k"], v=leaves["v"],
        state={name: leaves.get(f"state {name}", tensor) for name, tensor in inputs.state.items()},
        gates={name: leaves[name] for name in inputs.gates}, parameters={name: leaves[name] for name in inputs.parameters},
    )  # fmt: skip


def _gradcheck(subject: Subject, operator: Operator, inputs: Inputs) -> bool:
    tracked = inputs.tracked()
    names = list(tracked.leaves())

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        output, final = subject.run(operator)(_with_leaves(tracked, dict(zip(names, leaves, strict=True))))
        return output, *(tensor for tensor in final.values() if tensor.is_floating_point())

    return bool(torch.autograd.gradcheck(function, list(tracked.leaves().values())))


GRADIENTS = (
    Check("gradients", "recurrent form ≡ autograd through the literal model", 1e-9, recurrent_gradients),
    Check("gradients", "chunk form ≡ autograd through the literal model", 1e-9, chunk_gradients),
    Check("gradients", "finite differences", 0.0, finite_differences),
)
