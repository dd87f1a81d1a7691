"""Triton's interpreter in less time, with the same results.

At every call of a kernel, and of every function that one calls, the interpreter goes through all members of `triton.language` to find those
that it replaces; that is a third of its time. Here it goes through those alone, once for a kernel and the functions that it calls. Of the
rest, a third goes into the types of tiles, made anew for every operation; here the facts of a type are made once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any


def quicken_interpreter() -> None:
    """Lets the interpreter do once whatever has the same result every time. ImportError without Triton."""
    import triton.language as tl
    from triton.runtime import interpreter

    interpreter.inspect = with_known_members([tl, tl.core, tl.math, tl.tensor, tl.core.tensor_descriptor_base], tl.core.is_builtin)
    interpreter._patch_lang = once_a_kernel(interpreter._patch_lang, (tl, tl.core))
    interpreter._get_np_dtype = once_a_name(interpreter._get_np_dtype)
    keep_block_types(tl.core.block_type)
    keep_shapes(tl.core.tensor)


def with_known_members(places: list[Any], is_replaced: Callable[[Any], bool]) -> ModuleType:
    """The module `inspect`, by whose `getmembers` each of the places has the members alone that are replaced."""
    replaced = {id(place): [name for name, member in inspect.getmembers(place) if is_replaced(member)] for place in places}

    def members(place: Any, predicate: Callable[[Any], bool] | None = None) -> list[tuple[str, Any]]:
        if id(place) in replaced and predicate is None:
            return [(name, getattr(place, name)) for name in replaced[id(place)]]
        return inspect.getmembers(place, predicate)

    own = ModuleType("inspect")
    vars(own).update(vars(inspect) | {"getmembers": members})
    return own


class NothingReplaced:
    """The changes of a call that finds everything replaced."""

    def restore(self) -> None:
        """Leaves everything as it is."""


def once_a_kernel(patch: Callable[[Any], Any], places: tuple[ModuleType, ...]) -> Callable[[Any], Any]:
    """`patch`, which replaces the members of those `places` that a function reads, once until they are restored as the kernel ends."""
    done: set[tuple[int, ...]] = set()
    read: dict[int, tuple[dict[str, Any], tuple[int, ...]]] = {}  # by the names that a function reads, which it keeps alive

    def patched(function: Any) -> Any:
        names = function.__globals__
        if id(names) not in read:
            read[id(names)] = names, tuple(id(value) for value in names.values() if any(value is place for place in places))
        _, found = read[id(names)]
        if found in done:
            return NothingReplaced()
        scope = patch(function)
        done.add(found)
        restore = scope.restore

        def restored() -> None:
            done.clear()
            restore()

        scope.restore = restored
        return scope

    return patched


def once_a_name(dtype_of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function of types, which calls it once for each name of a type."""
    known: dict[str, Any] = {}

    def remembered(kind: Any) -> Any:
        if kind.name not in known:
            known[kind.name] = dtype_of(kind)
        return known[kind.name]

    return remembered


def keep_block_types(block_type: Any) -> None:
    """A type of tiles has the shape, the size and the name of the first one that has its shape and the name of its element's type."""
    make, known = block_type.__init__, {}

    def init(self: Any, element_ty: Any, shape: Any) -> None:
        key = (element_ty.name, *(getattr(length, "value", length) for length in shape))
        if key not in known:
            make(self, element_ty, shape)
            known[key] = dict(vars(self))
        vars(self).update(known[key], element_ty=element_ty)

    block_type.__init__ = init


def keep_shapes(tensor: Any) -> None:
    """A tensor has the shape and the size of the first one whose type has the same name."""
    make, known = tensor.__init__, {}

    def init(self: Any, handle: Any, type: Any) -> None:
        if type.name not in known:
            make(self, handle, type)
            known[type.name] = {name: value for name, value in vars(self).items() if name != "handle"}
        vars(self).update(known[type.name], handle=handle, type=type, dtype=type.scalar)

    tensor.__init__ = init
