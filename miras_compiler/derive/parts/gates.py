"""The gates of a rule, and the recurrences that they act in."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from miras_compiler.derive.parts.entry import Entry, per_weight, row_letter
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.elements.optimizer import Preconditioned
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec import Spec
from miras_compiler.spec.gates import GATE_LETTERS, GateLetter, GateRange

CHANNEL = {"head": "", "key_channel": "K", "value_channel": "V"}


class RuleGate(NamedTuple):
    """A gate: its channels as a letter of the operator and as axes of a tile, and whether the operator takes its logarithm.

    `measured`: it belongs to the token that a surprise measures, as a threshold does. `source` and `low_rank` say where a layer takes it
    from, and `init` where it starts there, for all heads or for each.
    """

    name: str
    channel: str
    axes: Axes
    decay: bool
    measured: bool
    letter: GateLetter
    range: GateRange
    source: Literal["input", "learned", "constant", "eta"]
    low_rank: int | None
    init: float | tuple[float, ...]

    @property
    def code(self) -> str:
        """Its name in programs and code. One of the user's own ends in an underscore, and so never meets a name of the code.

        The gradient of `x_` is `d_x_`; so a gate `d_x` is `d_x__`, and one with more of these prefixes ends in more underscores.
        """
        if self.name in GATE_LETTERS:
            return self.name
        prefixes = (len(self.name) - len(re.sub(r"^(d_)*", "", self.name))) // 2
        return self.name + "_" * (1 + prefixes)

    @property
    def leaf(self) -> str:
        """The input of programs: the logarithm of a decay, any other gate as it is."""
        return f"log_{self.name}" if self.decay else self.code


class Recurrence(NamedTuple):
    """x_t = Π decays_t · x_{t−1} + source_t for one part of the state; `decays` are gates, none where nothing decays."""

    state: Literal["A", "S", "D"]
    decays: tuple[str, ...]
    source: Literal["S", "g", "k²"]
    entries: tuple[Entry, ...]


def gates_of(spec: Spec) -> dict[str, RuleGate]:
    """The declared gates, in canonical order."""
    return {name: _gate(spec, name) for name in sorted(spec.gates, key=spec.gate_order)}


def _gate(spec: Spec, name: str) -> RuleGate:
    gate = spec.gates[name]
    channel = CHANNEL[gate.per]
    axes: Axes = ("v",) if channel and isinstance(spec.memory, VectorMemory) else tuple(channel.lower())  # there K = V
    letter = spec.gate_letter(name)
    measured = name in spec.attentional_bias.gates() and name != "gamma"
    return RuleGate(name, channel, axes, letter.decay, measured, letter, spec.gate_range(name), gate.source, gate.low_rank, gate.init)


def recurrences_of(spec: Spec) -> dict[str, Recurrence]:
    """The recurrences by state: A always, S with momentum, D with a preconditioner."""
    decays, momentum = tuple(gate for gate in ("alpha", "alpha_value") if gate in spec.gates), spec.optimizer.momentum
    found = [Recurrence("A", decays, "S" if momentum else "g", tuple(per_weight(spec, "")))]
    found += [Recurrence("S", ("mu",), "g", tuple(per_weight(spec, "_momentum")))] if momentum else []
    if isinstance(spec.optimizer, Preconditioned):
        found.append(Recurrence("D", ("alpha_d",), "k²", (Entry("preconditioner", f"BH{row_letter(spec)}", ("k",)),)))
    return {each.state: each for each in found}
