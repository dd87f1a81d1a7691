"""Gates: the per-token coefficients of a rule, and the letters that have a fixed meaning."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, Strict

from miras_compiler.elements.base import Settings
from miras_compiler.spec.parametrizations import INF, PARAMETRIZATIONS, Name, default_for, range_text

Init = Annotated[float, Field(ge=-1e12, le=1e12)]
End = Init | None
PerHead = Annotated[tuple[Annotated[Init, Strict()], ...], Strict(False), Field(min_length=1)]


class Gate(Settings):
    """The source of a gate, its granularity, and the range in which a layer keeps it.

    `init` is its value before training: a number, or a list with one per head. `source: eta` makes a decay of the step size,
    log α = −exp(A) η, as Mamba-2 does.
    """

    key = "gate"

    per: Annotated[
        Literal["head", "key_channel", "value_channel"],
        Field(description="How fine the gate is: a number per head, per channel of the key (a row of W), or of the value (a column)."),
    ] = "head"
    source: Annotated[
        Literal["input", "learned", "constant", "eta"],
        Field(description="Where a layer takes it from: a projection of its input, a learned number, a constant, or (decays) eta."),
    ] = "input"
    low_rank: Annotated[
        Annotated[int, Field(ge=1, le=2**20)] | None, Field(description="The rank of the projection of the input; null for a full one.")
    ] = 32
    init: Annotated[
        Init | PerHead,
        Field(description="The value before training: a number, or a list with one per head. Its default depends on the gate's name."),
    ] = 1.0
    parametrization: Annotated[
        Name | None, Field(description="The function that makes the gate of x + b; null: that of the gate's letter.")
    ] = None
    range: Annotated[
        Annotated[tuple[End, End], Strict(False)] | None,
        Field(description="[low, high], null where there is no end: where the function keeps the gate; null: the function's own range."),
    ] = None


class GateLetter(NamedTuple):
    """The meaning of a gate's name: its role, its range in the rule, and the parametrization of a layer where a spec says nothing."""

    meaning: str
    low: float
    high: float
    closed: tuple[bool, bool]  # whether the ends belong to the range
    parametrization: Literal["sigmoid", "softplus", "identity"]
    init: float
    decay: bool = False  # operators take its logarithm

    def holds(self, value: float) -> bool:
        """True if the value lies in the range."""
        low, high = self.closed
        return (value >= self.low if low else value > self.low) and (value <= self.high if high else value < self.high)


class GateRange(NamedTuple):
    """The range of one gate of a spec, and the parametrization that keeps it there; "constant" for a constant."""

    parametrization: str
    low: float
    high: float
    domain: str

    @property
    def is_positive(self) -> bool:
        """True if no value is 0, nor below."""
        return self.low > 0 or (self.low == 0 and self.domain.startswith(("> 0", "(0")))

    def reaches(self, value: float) -> bool:
        """True if a layer can start there: the ends are never reached."""
        return self.low < value < self.high


def range_of(gate: Gate, letter: GateLetter) -> GateRange:
    """The range of a gate: the spec's, else the parametrization's, else the letter's."""
    if gate.source == "constant":
        values = gate.init if isinstance(gate.init, tuple) else (gate.init,)
        return GateRange("constant", min(values), max(values), range_text(letter.low, letter.high, letter.closed))
    name: str = gate.parametrization or (default_for(*gate.range) if gate.range else letter.parametrization)
    own = PARAMETRIZATIONS[name]
    low, high = own.low, own.high
    if gate.range is not None:
        low, high = (-INF if gate.range[0] is None else gate.range[0], INF if gate.range[1] is None else gate.range[1])
    closed = (letter.closed[0] or low > letter.low, letter.closed[1] or high < letter.high)
    if name == "positive" and low == 0:
        closed = (False, closed[1])
    return GateRange(name, low, high, range_text(max(low, letter.low), min(high, letter.high), closed))


GATE_LETTERS = {  # in canonical order
    "alpha": GateLetter("what is retained of the state", 0, 1, (True, True), "sigmoid", 0.999, decay=True),
    "alpha_value": GateLetter("what is retained per value channel", 0, 1, (True, True), "sigmoid", 0.999, decay=True),
    "eta": GateLetter("inner step size", 0, INF, (True, False), "softplus", 0.02),
    "mu": GateLetter("momentum decay, past surprise", 0, 1, (True, False), "sigmoid", 0.9, decay=True),
    "gamma": GateLetter("weight of a token in a window", 0, 1, (True, True), "sigmoid", 0.9),
    "delta": GateLetter("threshold of the attentional bias", 0, INF, (False, False), "softplus", 1.0),
    "alpha_d": GateLetter("what is retained of the preconditioner", 0, 1, (True, True), "sigmoid", 0.999, decay=True),
    "eta_d": GateLetter("step size of the preconditioner", 0, INF, (True, False), "softplus", 0.02),
}
FREE_LETTER = GateLetter("a coefficient of the formula", -INF, INF, (False, False), "identity", 1.0)
