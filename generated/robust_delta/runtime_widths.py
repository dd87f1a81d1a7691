"""Checks on the widths with which a layer is made."""

from __future__ import annotations


def check_widths(**widths: int) -> None:
    """Raises ValueError for a width, by name, that is no integer of at least 1."""
    for name, width in widths.items():
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise ValueError(f"{name}: expected an integer of at least 1, got {width!r}")


def check_heads(heads: int, **starts: int) -> None:
    """Raises ValueError where a gate, by name, has another number of initial values than there are heads."""
    for name, count in starts.items():
        if count != heads:
            raise ValueError(f"heads: {name} has {count} initial values, got {heads} heads")


def count_value_heads(heads: int, value_heads: int | None, groups: int) -> int:
    """The heads of values, where none are given `groups` to every head. Raises ValueError for no multiple of heads."""
    count = groups * heads if value_heads is None else value_heads
    check_widths(value_heads=count)
    if count % heads:
        raise ValueError(f"value_heads: expected a multiple of heads = {heads}, got {count}")
    return count


def check_one_width(head_dim: int, value_dim: int) -> None:
    """Raises ValueError where values are not as wide as the keys that the memory sets against them."""
    if value_dim != head_dim:
        raise ValueError(f"value_dim: expected {head_dim}, because the memory combines keys and values entry by entry, got {value_dim}")
