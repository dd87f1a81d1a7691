# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Errors of the device functions for products under decays per channel, in Triton's interpreter, for a test.

`python tests/kit/interpret_decays.py` prints by case and derivative the root mean square of the error over that of the derivative that
autograd takes of the literal sum in float64. Run with TRITON_INTERPRET=1, in a process of its own.
"""

from __future__ import annotations

import json
from itertools import product

import torch
import triton
import triton.language as tl
from torch import Tensor

from miras_compiler.runtime.runtime_device_decays import (
    decayed_columns,
    decayed_derivatives,
    decayed_logs,
    decayed_rows,
    decayed_scores,
)

TOKENS, WIDTH = 16, 16
LOGS = {"open": (0.0, 1e-3), "usual": (0.0, 1.0), "closed": (10.0, 60.0), "resets": (0.0, 0.1)}  # by case, −log between the two
TENSORS = ("scores", "rows", "columns", "logs")


@triton.jit
def derivatives(
    scores_ptr, rows_ptr, columns_ptr, logs_ptr, d_scores_ptr, d_rows_ptr, d_columns_ptr, d_logs_ptr, rows_2_ptr, columns_2_ptr,
    logs_2_ptr, C: tl.constexpr, K: tl.constexpr, LEVELS: tl.constexpr, STRICT: tl.constexpr, EXCLUSIVE: tl.constexpr,
):  # fmt: skip
    """All that the device functions give."""
    r, at_k = tl.arange(0, C), tl.arange(0, K)
    square, at = r[:, None] * C + r[None, :], r[:, None] * K + at_k[None, :]
    scores, rows, columns, logs = tl.load(scores_ptr + square), tl.load(rows_ptr + at), tl.load(columns_ptr + at), tl.load(logs_ptr + at)
    tl.store(d_scores_ptr + square, decayed_scores(rows, columns, logs, r, LEVELS, STRICT, EXCLUSIVE, tl.float32))
    tl.store(d_rows_ptr + at, decayed_rows(scores, columns, logs, r, LEVELS, STRICT, EXCLUSIVE, tl.float32))
    tl.store(d_columns_ptr + at, decayed_columns(scores, rows, logs, r, LEVELS, STRICT, EXCLUSIVE, tl.float32))
    tl.store(d_logs_ptr + at, decayed_logs(scores, rows, columns, logs, r, LEVELS, STRICT, EXCLUSIVE, tl.float32))
    d_rows, d_columns, d_logs = decayed_derivatives(scores, rows, columns, logs, r, LEVELS, STRICT, EXCLUSIVE, tl.float32)
    tl.store(rows_2_ptr + at, d_rows)
    tl.store(columns_2_ptr + at, d_columns)
    tl.store(logs_2_ptr + at, d_logs)


def literal(factors: list[Tensor], strict: bool, exclusive: bool) -> Tensor:
    """F: every pair of tokens under the product of the decays between them."""
    scores, rows, columns, logs = factors
    total = scores.new_zeros(())
    for t in range(TOKENS):
        for j in range(t + (not strict)):
            decay = logs[j + 1 : t + (not exclusive)].sum(0).exp()
            total = total + scores[t, j] * (rows[t] * columns[j] * decay).sum()
    return total


def drawn(case: str) -> dict[str, Tensor]:
    """The factors; scores stand above the diagonal, too, where nothing reads them."""
    generator = torch.Generator().manual_seed(0)
    least, most = LOGS[case]
    logs = -least - (most - least) * torch.rand(TOKENS, WIDTH, generator=generator)
    if case == "resets":
        logs[torch.rand(TOKENS, WIDTH, generator=generator) < 0.2] = -60.0
    shapes = {"scores": (TOKENS, TOKENS), "rows": (TOKENS, WIDTH), "columns": (TOKENS, WIDTH)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} | {"logs": logs}


def errors(case: str, strict: bool, exclusive: bool) -> dict[str, float]:
    """By derivative the error of the worse of the functions that give it."""
    given = drawn(case)
    exact = [given[name].double().requires_grad_() for name in TENSORS]
    expected = dict(zip(TENSORS, torch.autograd.grad(literal(exact, strict, exclusive), exact), strict=True))
    found = [torch.empty_like(given[name]) for name in (*TENSORS, *TENSORS[1:])]
    derivatives[(1,)](*(given[name] for name in TENSORS), *found, TOKENS, WIDTH, TOKENS.bit_length() - 1, strict, exclusive)
    told: dict[str, float] = {}
    for name, value in zip((*TENSORS, *TENSORS[1:]), found, strict=True):
        error = float((value - expected[name]).square().mean().sqrt() / expected[name].square().mean().sqrt())
        told[name] = max(told.get(name, 0.0), error)
    return told


if __name__ == "__main__":
    cases = [(case, strict, exclusive) for case, (strict, exclusive) in product(LOGS, ((False, False), (True, False), (True, True)))]
    print(json.dumps({" ".join(map(str, each)): errors(*each) for each in cases}))
