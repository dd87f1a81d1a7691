"""Numerical inverses of the derivative of a convex formula: the x with F'(x) = a, by Newton's method inside a bracket.

F' and F'' come from `jet`; no symbolic mathematics. The domain of F (where it is finite and F'' > 0) is found by trying points, so that
`w*log(w) - w` is solved on (0, ∞) and `-sqrt(1 - w**2)` on (−1, 1). Where a step does not halve the error, the bracket is halved
in the order of the floating-point numbers instead, which arrives at any of them in 64 rounds, whatever its size.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from miras_compiler.verify.literal.jet import slopes

STARTS = (1.0, 0.5, 0.25, 0.1, -0.5, -1.0, 2.0, 4.0, -2.0)
LARGEST = 500  # domains are followed up to about 2^500, so that products of two such numbers are numbers
ENDLESS = 1e100  # a domain that reaches so far has no end, and numbers behind it are infinite
ROUNDS = 250


@cache
def domain(text: str, letter: str) -> tuple[float, float, float]:
    """A point inside, and the ends of the interval around it, each just inside."""
    start = next(x for x in STARTS if bool(_inside(text, letter, torch.tensor(x, dtype=torch.float64))))
    return start, _end(text, letter, start, -1.0), _end(text, letter, start, 1.0)


def solve(text: str, letter: str, a: Tensor, guess: Tensor | None = None, lowest: float | None = None) -> Tensor:
    """The x of the domain (≥ `lowest`) with F'(x) = a, detached; the nearer end of it where a is outside the range of F'.

    Numbers on the way are nobody's: no dispatch mode sees them.
    """
    with _disable_current_modes():
        return _solve(text, letter, a, guess, lowest)


def _solve(text: str, letter: str, a: Tensor, guess: Tensor | None, lowest: float | None) -> Tensor:
    start, low_end, high_end = domain(text, letter)
    dtype, a = a.dtype, a.detach().double()
    low = torch.full_like(a, low_end if lowest is None else max(low_end, lowest))
    high = torch.full_like(a, high_end)
    x = torch.full_like(a, start) if guess is None else guess.detach().double().clamp(low, high)
    below, above = slopes(text, letter, low)[0] >= a, slopes(text, letter, high)[0] <= a
    x = torch.where(below, low, torch.where(above, high, x))
    settled = below | above | ~a.isfinite()
    missing = torch.full_like(a, math.inf)
    close = torch.finfo(a.dtype).eps ** 0.8  # the caller's last Newton step squares the rest
    first_end, last_end = low, high
    for _ in range(ROUNDS):
        first, second = slopes(text, letter, x)
        high, low = torch.where(first > a, x, high), torch.where(first > a, low, x)
        newton = x - (first - a) / second
        good = (newton >= low) & (newton <= high) & ((first - a).abs() <= missing / 2)
        missing = (first - a).abs()
        better = torch.where(settled, x, torch.where(good, newton, _between(low, high)))
        scale = torch.minimum(x.abs(), torch.minimum(x - first_end, last_end - x))  # close to an end, F' changes with the distance from it
        settled = settled | ((better - x).abs() <= close * scale) | (missing <= close * torch.maximum(a.abs(), second * scale))
        x = better
        if settled.all():
            break
    return x.to(dtype)


def inverse_derivative(text: str, letter: str, a: Tensor, guess: Tensor | None = None) -> Tensor:
    """(F')⁻¹(a), differentiable once: the last Newton step from the solution is taken with a alive, and has the slope 1/F''.

    Where F'' is 0 or, as that of |w|^1.5 at 0, infinite, the slope is 0.

    Where a is outside the range of F' on the domain: the nearer end of the domain, or infinity where there is none.
    """
    x = solve(text, letter, a, guess)
    first, second = slopes(text, letter, x)
    low, high = (torch.full_like(a, end, dtype=torch.float64) for end in domain(text, letter)[1:])
    endless = ((x == low) | (x == high)) & (x.abs() > ENDLESS)
    gain = torch.where(second > 0, 1 / second, torch.zeros_like(second))
    step = (x - (first - a) * gain).double() * torch.ones_like(low).masked_fill(endless, math.inf)
    return step.clamp(low.masked_fill(endless, -math.inf), high.masked_fill(endless, math.inf)).to(a.dtype)


def _between(low: Tensor, high: Tensor) -> Tensor:
    """The float64 half way between two others in the order of all of them."""
    first, last = _turned(low.view(torch.int64)), _turned(high.view(torch.int64))
    return _turned((first >> 1) + (last >> 1) + (first & last & 1)).view(torch.float64)


def _turned(bits: Tensor) -> Tensor:
    """Bits of floats as integers in the floats' order, and back: those of negative floats count downwards."""
    return torch.where(bits < 0, torch.iinfo(torch.int64).min - bits, bits)


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
    for _ in range(64):
        middle = _between(good, bad)
        good, bad = (middle, bad) if bool(_inside(text, letter, middle)) else (good, middle)
    return float(good)
