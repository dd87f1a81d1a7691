"""The parametrizations of a gate: a function of a number x + b, and the range that it reaches."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

INF = math.inf
Name = Literal["sigmoid", "2*sigmoid", "softplus", "exp_softplus", "exp_sigmoid", "tanh", "positive"]
Ends = Literal["both", "low", "above 0", "none"]  # which ends of its range a spec may set; "above 0": the lower one must be set, and is > 0


class Parametrization(NamedTuple):
    """A function from the real line to (low, high); of decays, exp_softplus and exp_sigmoid are the logarithms that layers make."""

    formula: str
    low: float
    high: float
    ends: Ends = "none"
    of_decays: bool | None = None  # True: of decays only; False: never; None: of both


PARAMETRIZATIONS: dict[str, Parametrization] = {
    "sigmoid": Parametrization("σ(x + b)", 0, 1, "both"),
    "2*sigmoid": Parametrization("2 σ(x + b)", 0, 2, of_decays=False),
    "softplus": Parametrization("softplus(x + b)", 0, INF, "low", of_decays=False),
    "exp_softplus": Parametrization("exp(−exp(A) softplus(x + b))", 0, 1, of_decays=True),
    "exp_sigmoid": Parametrization("low^σ(x + b)", 0, 1, "above 0", of_decays=True),
    "tanh": Parametrization("tanh(x + b)", -1, 1, "both", of_decays=False),
    "positive": Parametrization("exp(x + b)", 0, INF, "low", of_decays=False),
    "identity": Parametrization("x + b", -INF, INF, of_decays=False),
}


def default_for(low: float | None, high: float | None) -> str:
    """The parametrization of a gate of which only the range is given."""
    if low is None:
        return "identity"
    return "softplus" if high is None else "sigmoid"


def range_text(low: float, high: float, closed: tuple[bool, bool]) -> str:
    """A range in words: "[0, 1)", ">= 0", "real"."""
    if math.isinf(low) and math.isinf(high):
        return "real"
    if math.isinf(high):
        return f"{'>=' if closed[0] else '>'} {low:g}"
    return f"{'[' if closed[0] else '('}{low:g}, {high:g}{']' if closed[1] else ')'}"
