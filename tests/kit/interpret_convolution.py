"""Errors of the kernels of the short convolution in Triton's interpreter, for a test.

`python tests/kit/interpret_convolution.py` prints by case the largest error of results, last tokens and gradients against the form in
PyTorch in float64, each a root mean square over that of the float64 one, and whether torch.compile makes one graph with the same results.
Run with TRITON_INTERPRET=1, in a process of its own.
"""

from __future__ import annotations

import json
import os

import torch
from torch import Tensor, nn

from miras_compiler.runtime import runtime_fused_convolution
from miras_compiler.runtime.runtime_convolution import ShortConvolution

PACKED = [0, 0, 5, 6, 6, 8, 19, 19]  # empty sequences, short ones, and two tokens behind the last border
CASES = {  # tokens, heads, channels of a head, window, silu, length 1, borders, past, gradients of the last tokens, precision
    "odd batch": (21, 3, 48, 4, True, True, None, False, False, "float32"),
    "odd batch of values": (21, 1, 150, 4, True, False, None, False, False, "float32"),
    "a wide head": (9, 1, 200, 4, True, True, None, True, True, "float32"),
    "past": (11, 5, 4, 3, True, True, None, True, True, "float32"),
    "shorter than the window": (2, 2, 8, 5, False, False, None, True, True, "float32"),
    "packed": (21, 3, 48, 4, True, True, PACKED, False, False, "float32"),
    "packed with their pasts": (21, 2, 12, 4, True, True, PACKED, True, True, "float32"),
    "packed without silu": (21, 2, 12, 2, False, True, PACKED, True, True, "float32"),
    "one sequence": (21, 2, 12, 4, True, False, [0, 21], True, False, "float32"),
    "bfloat16": (21, 3, 48, 4, True, True, None, True, True, "bfloat16"),
    "bfloat16, packed": (21, 3, 16, 4, True, False, PACKED, True, True, "bfloat16"),
    "float16": (21, 3, 16, 4, True, True, None, True, True, "float16"),
}  # fmt: skip


def run(convolution: ShortConvolution, x: Tensor, past: Tensor | None, borders: Tensor | None, tails: bool, backend: str) -> list[Tensor]:
    """Results, last tokens, and the gradients of x, of the weight and of the past."""
    os.environ["MIRAS_BACKEND"] = backend
    leaves = [each.detach().requires_grad_() for each in (x, past) if each is not None]
    y, tail = convolution(leaves[0], leaves[1] if past is not None else None, borders)
    weights = [1 + torch.arange(each.numel(), dtype=torch.float64).reshape(each.shape).sin() for each in (y, tail)]
    loss = (y.double() * weights[0]).sum() + (tail.double() * weights[1]).sum() * tails
    return [y.detach(), tail.detach(), *torch.autograd.grad(loss, [*leaves, convolution.weight])]


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm().clamp(min=1e-30))


def errors(name: str) -> dict[str, float]:
    tokens, heads, width, window, silu, unit, ends, has_past, tails, precision = CASES[name]
    torch.manual_seed(0)
    dtype, channels, batch = getattr(torch, precision), heads * width, 1 if ends else 2
    convolution = ShortConvolution(channels, window, silu, width if unit else 0)
    borders = torch.tensor(ends, dtype=torch.int32) if ends else None
    members = len(ends) - 1 if ends else batch
    x = torch.randn(batch, tokens, channels).to(dtype)
    past = torch.randn(members, window - 1, channels).to(dtype) if has_past else None
    found = run(convolution, x, past, borders, tails, "triton")
    wide = ShortConvolution(channels, window, silu, width if unit else 0)
    wide.weight = nn.Parameter(convolution.weight.detach().double())
    expected = run(wide, x.double(), None if past is None else past.double(), borders, tails, "torch")
    names = ("y", "tail", "d x", "d past", "d weight") if has_past else ("y", "tail", "d x", "d weight")
    return dict(zip(names, map(error, found, expected), strict=True))


def compiled() -> dict[str, float]:
    """Of a module under torch.compile(fullgraph=True) the distance to an eager call, for a few lengths; and of gradients."""
    os.environ["MIRAS_BACKEND"] = "triton"
    convolution, told = ShortConvolution(24, 4, True, 12), {}
    run_compiled = torch.compile(convolution, fullgraph=True, backend="aot_eager")
    for tokens in (5, 9, 14):
        x = torch.randn(2, tokens, 24, requires_grad=True)
        pairs = [torch.autograd.grad(each(x, None, None)[0].sin().sum(), [x, convolution.weight]) for each in (run_compiled, convolution)]
        told[f"{tokens} tokens"] = max(float((a - b).abs().max()) for a, b in zip(*pairs, strict=True))
    return told


if __name__ == "__main__":
    given = {name: errors(name) for name in CASES}
    tried = list(runtime_fused_convolution.launches.values())
    print(json.dumps({"errors": given, "launched": len(tried), "worked": all(tried), "compiled": compiled()}))
