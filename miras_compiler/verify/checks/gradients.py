"""Gradients of every input, gate, parameter and initial state ≡ autograd through the literal model, and finite differences agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.package import Operator
from miras_compiler.verify.subject import CROSSING, Run, Subject, pull_back


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
        for name, run in runs.items():
            _, gradients = pull_back(run, subject.probes[label])
            tally.compare_all(f"{label} {name} d", gradients, expected)


def finite_differences(subject: Subject, tally: Tally) -> None:
    """torch.autograd.gradcheck on three tokens that cross a chunk boundary where there is one.

    Every entry of the Jacobian of the chunk form; of the recurrent form, of deep memories, and in quick mode of all, its product with
    random vectors.
    """
    deep = len(subject.literal.weight_names) > 1
    inputs = subject.inputs(3, seed=14, position=subject.chunk - 2, batch=1, heads=1, key=3)
    for name, operator in {"chunk": subject.package.torch_chunk, "recurrent": subject.package.naive_recurrent}.items():
        tally.require(name, _gradcheck(subject, operator, inputs, fast=subject.quick or deep or name == "recurrent"))


def _gradcheck(subject: Subject, operator: Operator, inputs: Inputs, fast: bool) -> bool:
    tracked = inputs.tracked()
    names = list(tracked.leaves())

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, leaves, strict=True))
        state = {name: given.get(f"state {name}", tensor) for name, tensor in tracked.state.items()}
        replaced = replace(
            tracked, q=given["q"], k=given["k"], v=given["v"], state=state,
            gates={name: given[name] for name in tracked.gates}, parameters={name: given[name] for name in tracked.parameters},
        )  # fmt: skip
        output, final = subject.run(operator)(replaced)
        return output, *(tensor for tensor in final.values() if tensor.is_floating_point())

    return bool(torch.autograd.gradcheck(function, list(tracked.leaves().values()), fast_mode=fast))


GRADIENTS = (
    Check("gradients", "recurrent form ≡ autograd through the literal model", 1e-9, recurrent_gradients),
    Check("gradients", "chunk form ≡ autograd through the literal model", 1e-9, chunk_gradients),
    Check("gradients", "finite differences (gradcheck)", 0.0, finite_differences),
)
