"""Triton's interpreter in less time, with the same results.

At every call of a kernel, and of every function that one calls, the interpreter goes through all members of `triton.language` to find those
that it replaces; here it goes through those alone, once for a kernel and the functions that it calls. Types of tiles are made anew for each
operation; here the facts of a type are made once. Every sum and product of integers is computed a second time to assert that it does not
overflow, and nothing is asserted unless the interpreter debugs; and two tiles of one type are brought to one type. Here neither is done.
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
    check_where_it_counts(type(interpreter.interpreter_semantic))


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


PLAIN = ("fp32", "fp64", "int1", "int32", "int64")  # the types of elements that an operation on two of them keeps


def check_where_it_counts(semantic: Any) -> None:
    """Operations look for overflows where the interpreter debugs, and for a common type where two operands have different ones."""
    overflows, common = semantic.binary_op_sanitize_overflow_impl, semantic.binary_op_type_checking_impl

    def check_overflow(self: Any, lhs: Any, rhs: Any, operation: Callable[..., Any]) -> None:
        if self.builder.options.debug:
            overflows(self, lhs, rhs, operation)

    def with_common_type(self: Any, lhs: Any, rhs: Any, *given: Any, **options: Any) -> Any:
        kind, other = getattr(lhs, "type", None), getattr(rhs, "type", None)
        if kind is not None and other is not None and kind.name == other.name and kind.scalar.name in PLAIN:
            return lhs, rhs
        return common(self, lhs, rhs, *given, **options)

    semantic.binary_op_sanitize_overflow_impl = check_overflow
    semantic.binary_op_type_checking_impl = with_common_type
