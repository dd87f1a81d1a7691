"""The parts that a rule is stated in, as data: state, gates, recurrences, memory, features, surprise, update, retention, reads."""

from __future__ import annotations

from typing import Literal, NamedTuple

import sympy as sp

from miras_compiler.elements.memory import Entrywise as Entrywise
from miras_compiler.elements.memory import Product as Product
from miras_compiler.elements.memory import Weight as Weight
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec.gates import GATE_LETTERS, GateLetter, GateRange


class Entry(NamedTuple):
    """A tensor of the state. `axes` are the letters that users see, `tile` the axes of one head in a program.

    `B` sequences, `H` heads, `K` keys, `F` features of keys, `N` (`N1`, …) hidden, `V` values, `L` the tokens of a window before the last.
    An entry goes from token to token, or only from call to call: positions, and the tokens of a window.
    """

    name: str
    axes: str
    tile: Axes = ()
    goes: Literal["by token", "by call"] = "by token"
    integer: bool = False  # int64; all others are float32, or float64 in a computation in float64


class RuleGate(NamedTuple):
    """A gate: its channels as a letter of the operator and as axes of a tile, and whether the operator takes its logarithm.

    `measured`: it belongs to the token that a surprise measures, as a threshold does.
    """

    name: str
    channel: str
    axes: Axes
    decay: bool
    measured: bool
    letter: GateLetter
    range: GateRange

    @property
    def code(self) -> str:
        """Its name in programs and code. One of the user's own ends in an underscore, and so never meets a name of the code."""
        return self.name if self.name in GATE_LETTERS else f"{self.name}_"

    @property
    def leaf(self) -> str:
        """The input of programs: the logarithm of a decay, any other gate as it is."""
        return f"log_{self.name}" if self.decay else self.code


class Recurrence(NamedTuple):
    """x_t = Π decays_t · x_{t−1} + source_t for one part of the state; `decays` are gates, none where nothing decays."""

    state: Literal["A", "S", "D"]
    decays: tuple[str, ...]
    source: Literal["S", "g", "k²"]


class MemoryMap(NamedTuple):
    """M(W; x): the steps from "x" to "f", the norm of f over the value axis, and whether the raw row is added."""

    steps: tuple[Product | Entrywise, ...]
    norm: Literal["none", "layer", "rms"]
    residual: bool
    deep: bool

    @property
    def products(self) -> list[Product]:
        """The steps that multiply by a weight."""
        return [step for step in self.steps if isinstance(step, Product)]


class Features(NamedTuple):
    """φ as an expression in x; a polynomial has a degree instead, and is computed before any program, because it is wider than keys."""

    expression: sp.Expr | None
    degree: int = 0

    @property
    def outer(self) -> bool:
        """Whether programs take features beside keys and queries."""
        return self.expression is None


class Surprise(NamedTuple):
    """What is measured of a token: ℓ, the state at which, and over how many tokens losses are summed.

    `weighed`: each loss has a weight, the gate gamma, also where the window is the token alone. `scale` is the slope of an l2 bias in e,
    None for other biases.
    """

    loss: sp.Expr
    at: Literal["before", "decayed", "start"]
    ahead: bool  # moved by the momentum
    window: int
    weighed: bool
    scale: sp.Rational | None


class Orthogonal(NamedTuple):
    """Newton–Schulz steps with these coefficients, taken of S. `sized`: S has the step sizes in it.

    `waits`: they are taken once, at the end of a full chunk.
    """

    triples: tuple[tuple[str, str, str], ...]
    sized: bool
    waits: bool


class Update(NamedTuple):
    """How surprises are written: how often per token, with which step size, and along which keys."""

    writes: int
    step_size: sp.Expr  # in eta, and in kk = φ(k)φ(k)ᵀ where it is not eta itself
    erases: bool  # along a key of its own
    gain: sp.Expr | None  # of the written key, in the preconditioner D of its channel
    orthogonal: Orthogonal | None


class MirrorMap(NamedTuple):
    """From the dual state to what is read. `slices` are the axes of a weight that reductions run over; `start` is where a memory begins.

    A primal retention has no such map: `step` makes the next weights of X = α W[t−1] + S (x), W[t−1] (w) and eta; `relative` is d in it.
    """

    identity: bool
    slices: Literal["input", "output", "all"]
    step: sp.Expr | None
    relative: sp.Expr | None
    start: Literal["zero", "required", "uniform"]
    total: float  # that a slice sums to, where it has a sum

    @property
    def primal(self) -> bool:
        """Whether the state holds the weights as they are read."""
        return self.step is not None

    def axes(self, weight: Weight) -> Axes:
        """The axes of a weight that a reduction runs over."""
        return {"input": weight.axes[:1], "output": weight.axes[-1:], "all": weight.axes}[self.slices]


class Reads(NamedTuple):
    """The state that a query reads; `linear`: inside a chunk, on the linear path from ψ of the state that entered it."""

    at: Literal["after_write", "before_write", "chunk_start"]
    linear: bool
