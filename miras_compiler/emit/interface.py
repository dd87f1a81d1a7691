"""The operator contract of one package: arguments and state, with their axes as letters."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

from miras_compiler.derive.carried import CHANNEL, Entry, state_entries, weight_entries
from miras_compiler.derive.leaves import DECAYS, code_name, has_erase_key, outer_features, steps_of
from miras_compiler.spec import Spec


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
    return Interface(tuple(tokens), parameters, state_entries(spec), weight_entries(spec), derived, _why_required(spec))


def state_remark(spec: Spec) -> str:
    """What the weights in a state are, where that is not what a memory reads; "" where it is."""
    if spec.retention.space == "primal" or spec.retention.identity:
        return ""
    *some, last = (entry.name for entry in weight_entries(spec))
    names = f"{', '.join(some)} and {last} hold" if some else f"{last} holds"
    return (
        f"In a state, given or returned, {names} the dual state A, the decayed sum of all writes; the memory reads ψ(A). "
        "Do not pass weights as they are read: the memory would begin at others."
    )


def remark_paragraph(spec: Spec) -> str:
    """The remark as a paragraph that goes on in a docstring; "" where there is none."""
    lines = textwrap.wrap(state_remark(spec), 130)
    return "\n\n" + textwrap.indent("\n".join(lines), "    ") if lines else ""


def _why_required(spec: Spec) -> str:
    if spec.memory.deep:
        return "a deep memory begins at weights that its owner has drawn or learned"
    if spec.retention.start == "required":
        return f"the retention {spec.retention.kind} cannot begin at a zero state"
    return ""
