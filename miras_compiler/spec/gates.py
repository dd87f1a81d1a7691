"""Gates: the per-token coefficients of a rule, and the letters that have a fixed meaning."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, Strict

from miras_compiler.elements.base import Settings

Init = Annotated[float, Field(ge=-1e12, le=1e12)]
PerHead = Annotated[tuple[Annotated[Init, Strict()], ...], Strict(False), Field(min_length=1)]


class Gate(Settings):
    """Where a gate comes from and how fine it is. `init` is its value before training: a number, or a list with one per head."""

    per: Literal["head", "key_channel", "value_channel"] = "head"
    source: Literal["input", "learned", "constant"] = "input"
    low_rank: Annotated[int, Field(ge=1, le=2**20)] | None = 32
    init: Init | PerHead = 1.0


class GateLetter(NamedTuple):
    """What a gate's name means: its range, and the function through which a layer makes it."""

    meaning: str
    low: float
    high: float
    closed: tuple[bool, bool]  # whether the ends belong to the range
    parametrization: Literal["sigmoid", "softplus", "identity"]
    init: float

    @property
    def domain(self) -> str:
        """The range in words: "[0, 1)", ">= 0", "real"."""
        if self.parametrization == "identity":
            return "real"
        if self.parametrization == "softplus":
            return f"{'>=' if self.closed[0] else '>'} {self.low:g}"
        return f"{'[' if self.closed[0] else '('}{self.low:g}, {self.high:g}{']' if self.closed[1] else ')'}"

    def holds(self, value: float, *, inner: bool) -> bool:
        """Whether the value lies in the range; `inner`: where the parametrization reaches it, ends excluded."""
        low, high = (False, False) if inner else self.closed
        return (value >= self.low if low else value > self.low) and (value <= self.high if high else value < self.high)


INF = float("inf")
GATE_LETTERS = {  # in canonical order
    "alpha": GateLetter("what is retained of the state", 0, 1, (True, True), "sigmoid", 0.999),
    "alpha_value": GateLetter("what is retained per value channel", 0, 1, (True, True), "sigmoid", 0.999),
    "eta": GateLetter("inner step size", 0, INF, (True, False), "softplus", 0.02),
    "mu": GateLetter("momentum decay, past surprise", 0, 1, (True, False), "sigmoid", 0.9),
    "gamma": GateLetter("weight of a token in a window", 0, 1, (True, True), "sigmoid", 0.9),
    "delta": GateLetter("threshold of the attentional bias", 0, INF, (False, False), "softplus", 1.0),
    "alpha_d": GateLetter("what is retained of the preconditioner", 0, 1, (True, True), "sigmoid", 0.999),
    "eta_d": GateLetter("step size of the preconditioner", 0, INF, (True, False), "softplus", 0.02),
}
FREE_LETTER = GateLetter("a coefficient of the formula", -INF, INF, (False, False), "identity", 1.0)
