"""Allocations that show when somebody reads them, or writes behind them: every tensor without a value is full of NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
ALLOCATIONS = {aten.empty, aten.empty_like, aten.new_empty, aten.empty_strided, aten.new_empty_strided, aten.empty_permuted}
FENCE = 4
_active: ContextVar[bool] = ContextVar("poisoned", default=False)


class PoisonedAllocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every tensor that is allocated without a value is full of NaN (integers: of the largest number), in a package's process too."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in it: to hide it from torch's compiler would import that compiler, in longer than most checks take."""
        return False

    def __enter__(self) -> Any:
        self._before = _active.set(True)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *given: Any) -> None:
        super().__exit__(*given)  # type: ignore[no-untyped-call]
        _active.reset(self._before)

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in ALLOCATIONS:
            result.fill_(_poison(result.dtype))
        return result


@contextmanager
def fenced() -> Iterator[None]:
    """Every tensor that torch.empty makes is full of NaN, and so is the memory behind it, up to FENCE times as much.

    It stands in place of the function: a dispatch mode sees nothing of the inside of a package's own operators. Raises RuntimeError where
    something was written behind a tensor.
    """
    empty, fences = torch.empty, list[torch.Tensor]()

    def allocate(*size: Any, **options: Any) -> torch.Tensor:
        shape = size if not size or isinstance(size[0], int) else tuple(size[0])
        number = math.prod(shape)
        memory = empty([(1 + FENCE) * number], **options).fill_(_poison(options.get("dtype", torch.get_default_dtype())))
        fences.append(memory[number:])
        return memory[:number].view(shape)

    torch.empty = allocate
    try:
        yield
    finally:
        torch.empty = empty
    if not all(bool(fence.isnan().all()) for fence in fences if fence.is_floating_point()):
        raise RuntimeError("something was written behind the end of a tensor")


def is_poisoned() -> bool:
    """True if allocations hold NaN here and now."""
    return _active.get()


def _poison(dtype: torch.dtype) -> float:
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    return 1 if dtype == torch.bool else torch.iinfo(dtype).max
