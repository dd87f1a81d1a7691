"""The speed of a package: of its kernels, and of its PyTorch form under torch.compile; and whether the kernels are right to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from miras_compiler.bench.clock import Clock
from miras_compiler.bench.precision import WorstEntry, lowered, single, verify_shape
from miras_compiler.bench.roofline import BOTH, FORWARD, bytes_moved, roofline
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape
from miras_compiler.gpus import GPU

SMALL_TILES = 3  # tiles of the shape that is verified first


class Work:
    """A call of an operator, and one with its backward pass, on inputs of one shape with tokens in `dtype` and gates in float32."""

    def __init__(self, subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, operator: Callable[..., Any], **options: Any) -> None:
        self.operator, self.options = operator, options
        inputs, state = subject.inputs(shape, Regime(0.01, 0.01), dtype), subject.state(shape.batch, shape)
        self.inputs = {name: x.requires_grad_() for name, x in lowered(inputs, dtype, torch.float32).items()}
        self.state = {name: x.requires_grad_() if x.is_floating_point() else x for name, x in single(state).items()}
        self.cotangent = torch.ones(subject.size("BTHV", shape), dtype=dtype, device=subject.device)

    def forward(self) -> Tensor:
        return self.operator(**self.inputs, initial_state=self.state, **self.options)[0]  # type: ignore[no-any-return]

    def both(self) -> None:
        for x in (*self.inputs.values(), *self.state.values()):
            x.grad = None
        self.forward().backward(self.cotangent)  # type: ignore[no-untyped-call]


def deviations(subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, **options: Any) -> Iterator[tuple[Shape, WorstEntry]]:
    """The deviation at a small shape, and where that is good, at the shape itself."""
    small = shape._replace(batch=2, tokens=SMALL_TILES * subject.tile + 5, heads=2)
    for at in (small, shape):
        deviation = verify_shape(subject, at, dtype, **options)
        yield at, deviation
        if not deviation.passed:
            return


def measure(work: Work, clock: Clock) -> dict[str, Any]:
    """Milliseconds of the forward pass and of both, and the peak of memory."""
    return {"forward": clock.median_ms(work.forward), "both": clock.median_ms(work.both), "peak_gib": clock.peak_gib(work.both)}


def kernels(subject: MeasuredPackage, shape: Shape, dtype: torch.dtype, clock: Clock, gpu: GPU | None, **options: Any) -> dict[str, Any]:
    """The times of the package's own kernels, beside the roofline of their operations and bytes."""
    work = Work(subject, shape, dtype, subject.operator, **options)
    row = measure(work, clock)
    for name, lines, call in (("forward", FORWARD, work.forward), ("both", BOTH, work.both)):
        if gpu is not None:
            floor = roofline(subject, shape, lines, bytes_moved(subject, call), gpu)
            row |= {f"roofline_{name}": floor.ms, f"bound_{name}": floor.bound}
    return row


def pytorch_form(subject: MeasuredPackage, shape: Shape, dtype: torch.dtype) -> Work:
    """The emitted PyTorch form, its function of one tile under torch.compile and its products in TF32."""
    torch.set_float32_matmul_precision("high")
    vars(subject.chunked)["chunk"] = torch.compile(vars(subject.chunked)["chunk"], dynamic=False)
    return Work(subject, shape, dtype, subject.reference)
