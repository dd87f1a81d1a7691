"""The short convolution of a layer, then silu, then length 1 in every head, on a GPU: PyTorch eager, PyTorch compiled, and the kernels.

    python benchmarks/convolution.py --batch 8 --tokens 4096 --channels 1024 --head 64

Times are medians of milliseconds over calls, forward, and forward with backward. Errors are root mean squares of the difference to PyTorch
in float64, over those of the float64 values: of outputs, and the largest of the gradients of inputs and weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from miras_compiler.runtime.runtime_convolution import ShortConvolution

FORMS = {"eager": ("torch", False), "compiled": ("torch", True), "kernel": ("triton", False)}


def milliseconds(run: Callable[[], object], calls: int) -> float:
    """The median time of a call."""
    times = list[float]()
    for number in range(calls + 10):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record()
        run()
        end.record()
        end.synchronize()
        if number >= 10:  # the first compile
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def forward(run: Any, x: Tensor, borders: Tensor | None) -> None:
    with torch.no_grad():
        run(x, None, borders)


def results(run: Any, leaves: list[Tensor], slope: Tensor, borders: Tensor | None) -> list[Tensor]:
    """The outputs, and the gradients of inputs and weights."""
    y = run(leaves[0], None, borders)[0]
    return [y.detach(), *torch.autograd.grad(y, leaves, slope.to(y.dtype))]


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("batch", 8), ("tokens", 4096), ("channels", 1024), ("head", 64), ("calls", 50)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    given = parser.parse_args()
    shape, dtype = (given.batch, given.tokens, given.channels), getattr(torch, given.dtype)
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {given.dtype}, {shape}, heads of {given.head}\n")
    print(f"{'milliseconds':<32}" + "".join(f"{title:>12}" for title in ("forward", "both", "error", "of gradients")))
    for label, unit, packed in (("q, k", given.head, False), ("v", 0, False), ("q, k packed", given.head, True)):
        torch.manual_seed(0)
        convolution = ShortConvolution(given.channels, 4, silu=True, unit=unit).cuda()
        x = torch.randn(1, given.batch * given.tokens, given.channels) if packed else torch.randn(shape)
        x = x.to("cuda", dtype).requires_grad_()
        ends = [0, *sorted(torch.randint(x.shape[1], (15,)).tolist()), x.shape[1]]
        borders = torch.tensor(ends, dtype=torch.int32, device="cuda") if packed else None
        slope, leaves = torch.randn(x.shape, device="cuda"), [x, convolution.weight]
        exact = ShortConvolution(given.channels, 4, silu=True, unit=unit).cuda().double()
        exact.load_state_dict(convolution.state_dict())
        expected = results(exact, [x.detach().double().requires_grad_(), exact.weight], slope, borders)
        for form, (backend, compiles) in FORMS.items():
            os.environ["MIRAS_BACKEND"] = backend
            torch.compiler.reset()
            run: Any = torch.compile(convolution, fullgraph=True) if compiles else convolution
            errors = [error(*pair) for pair in zip(results(run, leaves, slope, borders), expected, strict=True)]
            times = [
                milliseconds(partial(forward, run, x, borders), given.calls),
                milliseconds(partial(results, run, leaves, slope, borders), given.calls),
            ]
            print(f"{f'{label}, {form}':<32}{times[0]:12.3f}{times[1]:12.3f}{errors[0]:12.1e}{max(errors[1:]):12.1e}", flush=True)


if __name__ == "__main__":
    main()
