"""The least time that a GPU needs for the operations and bytes of the kernels: operations by the manifest, bytes by the launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor

from miras_compiler.bench.subject import MeasuredPackage, Shape
from miras_compiler.gpus import GPU

FORWARD = ("matrix products, forward", "triangular solves, forward", "everything else, forward")  # operations per token and head
BOTH = tuple(f"{line} and backward" for line in FORWARD)


class Roofline(NamedTuple):
    """Milliseconds, and which of products, other operations and bytes takes them."""

    ms: float
    bound: str


def roofline(subject: MeasuredPackage, shape: Shape, lines: Sequence[str], moved: int, gpu: GPU) -> Roofline:
    """Of a pass at a shape of the package's own widths; `lines` are its products, solves and other operations in the manifest."""
    cost: Mapping[str, float] = {line["what"]: line["value"] for line in subject.manifest["cost"]}
    tokens = shape.batch * shape.tokens * shape.heads
    products, solves, others = (cost[line] * tokens for line in lines)
    times = {"products": (products + solves) / gpu.products, "operations": others / gpu.others, "bytes": moved / gpu.bytes}
    bound = max(times, key=lambda name: times[name])
    return Roofline(1e3 * times[bound], bound)


def bytes_moved(subject: MeasuredPackage, function: Callable[[], object]) -> int:
    """Bytes of all tensors that the kernels of a call take: each is read or written once, those saved for the backward pass too.

    Of tensors for all tiles, a launch for a part of the tiles takes its share.
    """
    total = 0.0

    def add(kernel: Any, sizes: Any, tensors: Sequence[Any], launch: Callable[[], None]) -> None:
        nonlocal total
        slots = sizes.high - sizes.low
        for x in tensors:
            if isinstance(x, Tensor):
                total += x.numel() * x.element_size() * (1 if x.shape[0] == slots else slots / sizes.slots)
        launch()

    with around_launches(subject, add):
        function()
    return round(total)


@contextmanager
def around_launches(subject: MeasuredPackage, wrap: Callable[[Any, Any, Sequence[Any], Callable[[], None]], object]) -> Iterator[None]:
    """Every launch within goes through `wrap`, with the kernel's `Launcher`, the sizes of the call, its tensors, and the function that
    launches it.
    """
    kind = subject.launching.Launcher
    original = kind.__call__

    def call(this: Any, sizes: Any, tensors: Sequence[Any]) -> None:
        wrap(this, sizes, tensors, lambda: original(this, sizes, tensors))

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original
