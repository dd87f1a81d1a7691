"""A check: a claim, a limit, and a function that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import Subject


def always(subject: Subject) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """`run` adds comparisons to the tally; the worst of them must not exceed `limit` (0: the claim is no number, it holds or does not)."""

    check: str
    subject: str
    limit: float
    run: Callable[[Subject, Tally], None]
    applies: Callable[[Subject], bool] = always
    quick: bool = True
