"""The operator contract of one package: arguments and state, with their axes as letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from miras_compiler.derive.token_step import DECAYS
from miras_compiler.spec import Spec

CHANNEL = {"head": "", "key_channel": "K", "value_channel": "V"}


class Argument(NamedTuple):
    """An input tensor: its keyword, axes, what it is, and the values that make sense."""

    name: str
    axes: str
    role: str
    domain: str


class Entry(NamedTuple):
    """A tensor of the state."""

    name: str
    axes: str


@dataclass(frozen=True)
class Interface:
    """What the three operators of a package take and return."""

    tokens: tuple[Argument, ...]
    parameters: tuple[Argument, ...]
    state: tuple[Entry, ...]
    weights: tuple[Entry, ...]
    requires_state: str  # why `initial_state=None` is refused, or ""

    @property
    def inputs(self) -> tuple[Argument, ...]:
        return (*self.tokens, *self.parameters)

    @property
    def keywords(self) -> tuple[str, ...]:
        """Everything but q, k, v."""
        return tuple(argument.name for argument in self.inputs[3:])


def build_interface(spec: Spec) -> Interface:
    """The interface of a spec's package; gates stand in the order of their letters."""
    tokens = [
        Argument("q", "BTHK", "query", "real"), Argument("k", "BTHK", "key", "real"), Argument("v", "BTHV", "value", "real"),
    ]  # fmt: skip
    for name in sorted(spec.gates, key=spec.gate_order):
        letter = spec.gate_letter(name)
        axes = "BTH" + CHANNEL[spec.gates[name].per]
        if name in DECAYS:
            tokens.append(Argument(f"log_{name}", axes, f"logarithm of {name}, {letter.meaning}", "[-inf, 0]"))
        else:
            tokens.append(Argument(name, axes, letter.meaning, letter.domain))
    parameters: tuple[Argument, ...] = ()
    if spec.memory.norm != "none":
        parameters = (
            Argument("ln_weight", "HV", "scale of the norm", "real"), Argument("ln_bias", "HV", "shift of the norm", "real"),
        )  # fmt: skip
    weights = tuple(Entry(weight.name, f"BH{_letter(weight.rows)}{_letter(weight.columns)}") for weight in spec.memory.weights())
    state = [*weights]
    if "mu" in spec.gates:
        state += [Entry(f"{name}_momentum", axes) for name, axes in weights]
    if spec.frozen_gradient:
        state += [Entry(f"{name}_start", axes) for name, axes in weights]
        state.append(Entry("position", "B"))
    if spec.linear_reads:
        state.append(Entry("log_beta", "BH"))
    return Interface(tuple(tokens), parameters, tuple(state), weights, _why_required(spec))


def _letter(axis: str) -> str:
    return axis[0].upper()


def _why_required(spec: Spec) -> str:
    if spec.memory.deep:
        return "a deep memory begins at weights that its owner has drawn or learned"
    if spec.retention.start == "required":
        return f"the retention {spec.retention.kind} cannot begin at a zero state"
    return ""
