"""Numerical inverses of the derivative of a convex formula: the x with F'(x) = a, by Newton's method inside a bracket.

F' and F'' come from `jet`; no symbolic mathematics. The domain of F (where it is finite and
F'' > 0) is found by trying points, so that `w*log(w) - w` is solved on (0, ∞) and `-sqrt(1 - w**2)` on (−1, 1).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from miras_compiler.verify.literal.jet import slopes

STARTS = (1.0, 0.5, 0.25, 0.1, -0.5, -1.0, 2.0, 4.0, -2.0)
LARGEST = 120  # domains are followed up to about 2^120
ROUNDS = 250


@cache
def domain(text: str, letter: str) -> tuple[float, float, float]:
    """A point inside, and the ends of the interval around it, each just inside."""
    start = next(x for x in STARTS if bool(_inside(text, letter, torch.tensor(x, dtype=torch.float64))))
    return start, _end(text, letter, start, -1.0), _end(text, letter, start, 1.0)


def solve(text: str, letter: str, a: Tensor, guess: Tensor | None = None, lowest: float | None = None) -> Tensor:
    """The x of the domain (≥ `lowest`) with F'(x) = a, detached; the nearer end of it where a is outside the range of F'."""
    start, low_end, high_end = domain(text, letter)
    a = a.detach()
    low = torch.full_like(a, low_end if lowest is None else max(low_end, lowest))
    high = torch.full_like(a, high_end)
    x = torch.full_like(a, start) if guess is None else guess.detach().clamp(low, high)
    below, above = slopes(text, letter, low)[0] >= a, slopes(text, letter, high)[0] <= a
    pinned = below | above | ~a.isfinite()
    x = torch.where(below, low, torch.where(above, high, x))
    close = torch.finfo(a.dtype).eps ** 0.8  # the caller's last Newton step squares what is left
    for turn in range(ROUNDS):
        first, second = slopes(text, letter, x)
        high, low = torch.where(first > a, x, high), torch.where(first > a, low, x)
        newton = x - (first - a) / second
        reach = 1 + 2 * x.abs()  # an end that nothing has come near yet is no reason to jump half way to it
        middle = (low + (high - low) / 2).clamp(x - reach, x + reach)
        near = (first - a).abs() <= close * torch.maximum(a.abs(), (second * x).abs())
        good = (newton >= low) & (newton <= high) & (near | (turn % 4 < 3))  # at a root with a steep slope Newton swings to and fro
        better = torch.where(pinned, x, torch.where(good, newton, middle))
        settled = near | ((better - x).abs() <= close * x.abs())
        x = better
        if settled.all():
            break
    return x


def inverse_derivative(text: str, letter: str, a: Tensor, guess: Tensor | None = None) -> Tensor:
    """(F')⁻¹(a), differentiable once: the last Newton step from the solution is taken with a alive, and has the slope 1/F''."""
    x = solve(text, letter, a, guess)
    first, second = slopes(text, letter, x)
    return x - (first - a) / second


def _inside(text: str, letter: str, x: Tensor) -> Tensor:
    first, second = slopes(text, letter, x)
    return first.isfinite() & second.isfinite() & (second > 0)


def _end(text: str, letter: str, start: float, direction: float) -> float:
    """The last point inside in that direction; steps of uneven lengths, so that no special point is hit."""
    steps = 1.0737 * 2.0 ** torch.arange(-20, LARGEST, dtype=torch.float64)
    points = torch.cat((torch.zeros(1, dtype=torch.float64), steps)) * direction + start
    inside = _inside(text, letter, points)
    if inside.all():
        return float(points[-1])
    last = int(inside.long().argmin()) - 1
    good, bad = points[last], points[last + 1]
    parts = torch.linspace(0, 1, 65, dtype=torch.float64)
    for _ in range(ROUNDS):
        between = good + (bad - good) * parts
        inside = _inside(text, letter, between)
        last = int(inside.long().argmin()) - 1
        if not 0 <= last < 64 or (between[last] == good and between[last + 1] == bad) or float(good.abs()) < 1e-100:
            break
        good, bad = between[last], between[last + 1]
    return float(good)
