"""Several orders of the same things as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def merged(orders: Sequence[Sequence[Key]]) -> list[Key]:
    """Every key once, in an order that follows each of the given ones as far as they agree."""
    found: list[Key] = []
    for order in orders:
        result: list[Key] = []
        for _, a, b, c, d in SequenceMatcher(None, found, order, autojunk=False).get_opcodes():
            result += [*found[a:b], *(key for key in order[c:d] if key not in found)]
        found = list(dict.fromkeys(result))
    return found
