"""Errors of the walks of packages, for tests: `python tests/kit/walk_errors.py CASES PACKAGE…`, the last so many of the cases.

Prints by package and entry an error and its limit. Run with TRITON_INTERPRET=1, in a process of its own: whether Triton interprets is
decided when it is imported.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler.spec import load_spec
from miras_compiler.verify.checks.machine import SINGLE, cast
from miras_compiler.verify.inputs import Inputs, Run
from miras_compiler.verify.measure import rms_error
from miras_compiler.verify.package import Operator, opened_here
from miras_compiler.verify.subject import Subject, call, pull_back

SEGMENT = 8
BORDERS = (0, 1, 11, 14)  # sequences of a token, of more than a segment, and of a few


def cases(subject: Subject) -> Iterator[Inputs]:
    """Packed sequences whose states are in the middle of a chunk and of a window; a batch that begins with its weights alone."""
    drawn = subject.inputs(BORDERS[-1], seed=5, position=max(subject.chunk - 2, 0), batch=len(BORDERS) - 1, heads=1, key=5)
    yield replace(drawn.by_token(lambda tensor, rows: tensor[:1]), cu_seqlens=torch.tensor(BORDERS, dtype=torch.int32))
    bare = subject.inputs(3, seed=3)
    yield replace(bare, state={name: bare.state[name] for name in subject.literal.weight_names})


def entries(run: Run, inputs: Inputs) -> dict[str, Tensor]:
    """Outputs, final states and all gradients."""
    (output, state), gradients = pull_back(run, inputs, torch.float32)
    return {"o": output, **{f"state {name}": x for name, x in state.items()}, **{f"d {name}": x for name, x in gradients.items()}}


def errors(subject: Subject, last: int) -> dict[str, tuple[float, float]]:
    """The entry of every case that uses most of its limit: the RMS error against the token loop in float64, and its limit."""

    def by_kernels(inputs: Inputs, operator: Operator = subject.package.chunk) -> Any:
        return call(operator, inputs, output_final_state=True, backend="triton")

    loop = subject.run(subject.package.naive_recurrent)
    found: dict[str, tuple[float, float]] = {}
    for inputs in [*cases(subject)][-last:]:
        single = cast(inputs, torch.float32, torch.float32)
        expected, alike, actual = entries(loop, single.map(Tensor.double)), entries(loop, single), entries(by_kernels, single)
        for name, x in expected.items():
            if x.is_floating_point():
                pair = rms_error(actual[name], x), max(SINGLE, 4 * rms_error(alike[name], x))
            else:
                pair = float(not torch.equal(actual[name], x)), 0.0
            before = found.get(name, pair)
            found[name] = pair if not pair[0] - pair[1] <= before[0] - before[1] else before
    return found


def main(last: str, *packages: str) -> None:
    told = {}
    for folder in map(Path, packages):
        spec = load_spec(folder / "spec.yaml")
        with opened_here(folder, spec.name) as package:
            importlib.import_module(package.chunk.__module__.replace(".ops", ".kernels")).TABLE.tile = SEGMENT
            told[spec.name] = errors(Subject(spec.model_dump(by_alias=True), package), int(last))
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
