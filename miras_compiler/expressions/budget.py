"""The budget of symbolic work of one formula, counted in calls of functions and in nodes of expressions, never in seconds.

So the verdict does not depend on the speed of a machine. A solver of sympy may go on without end on a short formula; it is stopped after a
number of calls. A solver that is stopped did not find an answer: the caller goes on as if there were none, or refuses the formula.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import sympy as sp
from sympy.core.cache import clear_cache

from miras_compiler.expressions.symbols import RowMax, RowSum, larger, letter, smaller

CALLS = 3_000_000  # of Python functions in one solver: a few seconds, and more than twice the calls for any inverse that was found
NODES = 300  # of a derivative that a solver is given
PART = 8_000  # nodes of one printed expression: more take seconds to differentiate again and to print

SUMS, NESTED_SUMS, NESTED_FUNCTIONS = 12, 8, 16  # of one formula: every pair of sums is a second derivative, every nested one a pass


class OutOfCallsError(BaseException):
    """A solver went on for too long. No `Exception`: solvers catch those of their own, and try something else."""


@contextmanager
def limited(calls: int = CALLS) -> Iterator[None]:
    """Raises OutOfCallsError inside once so many functions were called; sympy's cache is emptied, so that the past does not count.

    It is not raised in a generator, which may be closing: Python ignores an error there, and the solver would go on.
    """
    left = calls

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        if event == "call":
            left -= 1
            if left < 0 and not frame.f_code.co_flags & inspect.CO_GENERATOR:
                sys.setprofile(before)
                raise OutOfCallsError

    before = sys.getprofile()
    clear_cache()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


def size(expr: sp.Expr) -> int:
    """The numbers, letters and operations of an expression as it is written out; max and min of two write both twice."""
    known: dict[sp.Basic, int] = {}

    def nodes(each: sp.Basic) -> int:
        if each not in known:
            known[each] = 1 + (2 if isinstance(each, larger | smaller) else 1) * sum(map(nodes, each.args))
        return known[each]

    return nodes(expr)


def largest_part(expr: sp.Expr) -> int:
    """The size of the largest entrywise part of a formula, or of the derivative of one: the part between sums over a row."""
    inside = [reduction.args[0] for reduction in expr.atoms(RowSum, RowMax)]
    largest = 0
    for part in (expr, *inside):
        outer = {each: letter(f"reduced{i}") for i, each in enumerate(_outermost(part))}
        entrywise = part.xreplace(outer)
        largest = max(largest, size(entrywise))
        if largest <= PART:
            largest = max(largest, *(size(sp.diff(entrywise, symbol)) for symbol in entrywise.free_symbols), 0)
    return largest


def sums_of(expr: sp.Expr) -> tuple[int, int]:
    """The number of sums and maxima over a row in a formula, and the depth of their nesting."""
    return len(expr.atoms(RowSum, RowMax)), _depth(expr, lambda each: isinstance(each, RowSum | RowMax))


def nested_functions(expr: sp.Expr) -> int:
    """The depth to which functions are nested, roots and other powers included."""
    return _depth(expr, lambda each: isinstance(each, sp.Function) or (isinstance(each, sp.Pow) and not each.exp.is_Integer))


def _depth(expr: sp.Basic, counts: Callable[[sp.Basic], bool]) -> int:
    return counts(expr) + max((_depth(each, counts) for each in expr.args), default=0)


def _outermost(expr: sp.Expr) -> list[sp.Expr]:
    if isinstance(expr, RowSum | RowMax):
        return [expr]
    return sorted({each for argument in expr.args for each in _outermost(argument)}, key=sp.default_sort_key)
