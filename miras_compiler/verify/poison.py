"""Allocations that show when somebody reads them: every tensor without a value is full of NaN."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
ALLOCATIONS = {aten.empty, aten.empty_like, aten.new_empty, aten.empty_strided, aten.new_empty_strided, aten.empty_permuted}
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


def is_poisoned() -> bool:
    """True if allocations hold NaN here and now."""
    return _active.get()


def _poison(dtype: torch.dtype) -> float:
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    return 1 if dtype == torch.bool else torch.iinfo(dtype).max
