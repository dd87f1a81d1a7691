"""Triton's interpreter in less time.

At every call of a kernel, and of every function that one calls, the interpreter goes through all members of `triton.language` to find those
that it replaces; that is a third of its time. Here it goes through those alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any


def quicken_interpreter() -> None:
    """Lets the interpreter go through the members that it may replace alone. ImportError without Triton."""
    import triton.language as tl
    from triton.runtime import interpreter

    places: list[Any] = [tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base]
    replaced = {id(place): [name for name, member in inspect.getmembers(place) if tl.core.is_builtin(member)] for place in places}

    def members(place: Any, predicate: Callable[[Any], bool] | None = None) -> list[tuple[str, Any]]:
        if id(place) in replaced and predicate is None:
            return [(name, getattr(place, name)) for name in replaced[id(place)]]
        return inspect.getmembers(place, predicate)

    own = ModuleType("inspect")
    vars(own).update(vars(inspect) | {"getmembers": members})
    interpreter.inspect = own
