"""Errors of the kernels of packages in Triton's interpreter, for tests.

`python tests/kit/interpret_packages.py WIDTH LENGTHS PACKAGE…` prints by package and entry an error and its limit: outputs, final states
and every gradient of a sequence of so many tokens, or of several ("1+2" or "1,2") that are packed, at heads of that width. Where the
chunks of a rule are part of the function, every sequence begins with a chunk, but of "1+2" all but the first with the last token of one.
Run with TRITON_INTERPRET=1, in a process of its own: whether Triton interprets is decided when it is imported.
"""

from __future__ import annotations

import json
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler.bench.precision import rms
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape

SINGLE = 1e-5  # of float32, as `miras bench --check` has it
CALM = Regime(0.25, 0.05)


def entries(operator: Any, inputs: dict[str, Tensor], state: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """Outputs, final states, and the gradients of inputs and states."""
    leaves = {name: x.clone().requires_grad_(x.is_floating_point()) for name, x in {**inputs, **state}.items()}
    given, start = ({name: leaves[name] for name in names} for names in (inputs, state))
    o, final = operator(**given, initial_state=start or None, output_final_state=True, **options)
    results = {"o": o, **{f"state {name}": x for name, x in final.items() if x.requires_grad}}
    wanted = {name: x for name, x in leaves.items() if x.requires_grad}
    weighted = sum(((1 + torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape).sin()) * x).sum() for x in results.values())
    gradients = torch.autograd.grad(weighted, list(wanted.values()), materialize_grads=True)
    found = {**results, **{f"d {name}": x for name, x in zip(wanted, gradients, strict=True)}}
    return {name: x.detach() for name, x in found.items()}


def errors(subject: MeasuredPackage, width: int, lengths: list[int], fresh: bool) -> dict[str, tuple[float, float]]:
    """Of every entry the error against the PyTorch form in float64, and its limit."""
    shape = Shape(1, sum(lengths), 1, width, width, width if subject.deep else 0)
    inputs, state = subject.inputs(shape, CALM, torch.float32), subject.state(len(lengths), shape)
    if subject.has_grid and len(lengths) > 1 and not fresh:
        state = in_a_chunk(subject, shape, state, [0] + [subject.contract.chunk - 1] * (len(lengths) - 1))
    single = [{name: x.float() if x.is_floating_point() else x for name, x in tensors.items()} for tensors in (inputs, state)]
    borders = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32) if len(lengths) > 1 else None
    expected, alike = (entries(subject.reference, *each, cu_seqlens=borders) for each in ((inputs, state), single))
    found = entries(subject.operator, *single, cu_seqlens=borders, backend="triton")
    return {name: (rms(found[name], x), max(SINGLE, 4 * rms(alike[name], x))) for name, x in expected.items()}


def in_a_chunk(subject: MeasuredPackage, shape: Shape, state: dict[str, Tensor], lengths: list[int]) -> dict[str, Tensor]:
    """The state of sequences behind so many tokens."""
    inputs = subject.inputs(shape._replace(tokens=sum(lengths)), CALM, torch.float32)
    borders = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    _, final = subject.reference(**inputs, initial_state=state, output_final_state=True, cu_seqlens=borders)
    return {name: x.detach() for name, x in final.items()}


def main(width: str, lengths: str, *folders: str) -> None:
    fresh = "," in lengths
    numbers = [int(each) for each in lengths.replace(",", "+").split("+")]
    print(json.dumps({Path(folder).name: errors(MeasuredPackage(Path(folder), "cpu"), int(width), numbers, fresh) for folder in folders}))


if __name__ == "__main__":
    main(*sys.argv[1:])
