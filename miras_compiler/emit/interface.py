"""The operator contract of one package: arguments and state, with their axes as letters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from miras_compiler.derive.chunk_end import waits_for_chunk_end
from miras_compiler.derive.leaves import DECAYS, code_name, has_erase_key, outer_features, steps_of, window_gates, window_of
from miras_compiler.elements.optimizer import Preconditioned
from miras_compiler.spec import Spec

CHANNEL = {"head": "", "key_channel": "K", "value_channel": "V"}


class Argument(NamedTuple):
    """An input tensor: its keyword, axes, what it is, and the values that make sense."""

    name: str
    axes: str
    role: str
    domain: str
    range: tuple[float, float] | None = None  # least and largest value, where there is one
    code: str = ""  # what programs and code call it, where that is another name

    @property
    def leaf(self) -> str:
        """Its name in programs and code."""
        return self.code or self.name


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
    derived: tuple[str, ...]  # inputs of the tile programs that are made of the tokens first
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
    rows = "R" if steps_of(spec) > 1 else "T"  # R: steps · T
    tokens = [
        Argument("q", "BTHK", "query", "real"), Argument("k", f"B{rows}HK", "key", "real"), Argument("v", f"B{rows}HV", "value", "real"),
    ]  # fmt: skip
    if has_erase_key(spec):
        tokens += [Argument("erase_key", "BTHK", "key along which the memory erases", "real")]
        tokens += [Argument("erase_write_key", "BTHK", "key at which it erases; k if not given", "real")]
    for name in sorted(spec.gates, key=spec.gate_order):
        letter = spec.gate_letter(name)
        axes = f"B{rows if name == 'eta' else 'T'}H" + ("W" if name == "gamma" else "") + CHANNEL[spec.gates[name].per]
        if name in DECAYS:
            tokens.append(Argument(f"log_{name}", axes, f"logarithm of {name}, {letter.meaning}", "[-inf, 0]"))
        else:
            bounds = (letter.low, letter.high) if letter.low > -math.inf or letter.high < math.inf else None
            tokens.append(Argument(name, axes, letter.meaning, spec.gate_range(name).domain, bounds, code_name(name)))
    parameters: tuple[Argument, ...] = ()
    if spec.memory.norm != "none":
        parameters = (
            Argument("ln_weight", "HV", "scale of the norm", "real"), Argument("ln_bias", "HV", "shift of the norm", "real"),
        )  # fmt: skip
    derived: tuple[str, ...] = ()
    if outer_features(spec):
        derived = tuple(f"{a.name}_features" for a in tokens if a.name in ("q", "k", "erase_key", "erase_write_key"))
        parameters = (*parameters, Argument("feature_coefficients", "D", "coefficients of the polynomial, by degree", "real"))
    key = "F" if derived else "K"
    weights = tuple(Entry(w.name, "BH" + "".join(key if axis == "k" else _letter(axis) for axis in w.axes)) for w in spec.memory.weights())
    state = [*weights]
    if spec.optimizer.momentum:
        state += [Entry(f"{name}_momentum", axes) for name, axes in weights]
    if waits_for_chunk_end(spec):
        state += [Entry(f"{name}_pending", axes) for name, axes in weights]
    if spec.frozen_gradient:
        state += [Entry(f"{name}_start", axes) for name, axes in weights]
        state.append(Entry("position", "B"))
    if spec.linear_reads and spec.frozen_gradient:
        state.append(Entry("log_beta", "BH" + CHANNEL[spec.gates["alpha"].per]))
    if isinstance(spec.optimizer, Preconditioned):
        state.append(Entry("preconditioner", f"BH{key}"))
    if window_of(spec) > 1:
        gates = [(f"window_{gate}", "BHL" + CHANNEL[spec.gates[gate].per]) for gate in window_gates(spec)]
        state += [Entry("window_k", "BHLK"), Entry("window_v", "BHLV"), *(Entry(*gate) for gate in gates), Entry("window_length", "B")]
    return Interface(tuple(tokens), parameters, tuple(state), weights, derived, _why_required(spec))


def _letter(axis: str) -> str:
    return axis[0].upper()


def _why_required(spec: Spec) -> str:
    if spec.memory.deep:
        return "a deep memory begins at weights that its owner has drawn or learned"
    if spec.retention.start == "required":
        return f"the retention {spec.retention.kind} cannot begin at a zero state"
    return ""
