"""The operator contract of one package: arguments and state, with their axes as letters."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

from miras_compiler.derive.parts import Entry
from miras_compiler.derive.rule import Rule


class Argument(NamedTuple):
    """An input tensor: its keyword, axes, role, and the values that make sense."""

    name: str
    axes: str
    role: str
    domain: str
    range: tuple[float, float] | None = None  # least and largest value, where there is one
    code: str = ""  # its name in programs and code, where that is another

    @property
    def leaf(self) -> str:
        """Its name in programs and code."""
        return self.code or self.name


@dataclass(frozen=True)
class Interface:
    """The arguments and the state of the three operators of a package."""

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
    def groups(self) -> tuple[list[str], list[str]]:
        """The names of tokens and of parameters."""
        return [argument.name for argument in self.tokens], [argument.name for argument in self.parameters]

    @property
    def keywords(self) -> tuple[str, ...]:
        """Everything but q, k, v."""
        return tuple(argument.name for argument in self.inputs[3:])


def build_interface(rule: Rule) -> Interface:
    """The interface of a rule's package; gates stand in the order of their letters."""
    rows = "R" if rule.update.writes > 1 else "T"  # R: steps · T
    tokens = [
        Argument("q", "BTHK", "query", "real"), Argument("k", f"B{rows}HK", "key", "real"), Argument("v", f"B{rows}HV", "value", "real"),
    ]  # fmt: skip
    if rule.update.erases:
        tokens += [Argument("erase_key", "BTHK", "key along which the memory erases", "real")]
        tokens += [Argument("erase_write_key", "BTHK", "key at which it erases; k if not given", "real")]
    for name, gate in rule.gates.items():
        letter = gate.letter
        axes = f"B{rows if name == 'eta' else 'T'}H" + ("W" if name == "gamma" else "") + gate.channel
        if gate.decay:
            tokens.append(Argument(gate.leaf, axes, f"logarithm of {name}, {letter.meaning}", "[-inf, 0]"))
        else:
            bounds = (letter.low, letter.high) if letter.low > -math.inf or letter.high < math.inf else None
            tokens.append(Argument(name, axes, letter.meaning, gate.range.domain, bounds, gate.code))
    parameters: tuple[Argument, ...] = ()
    if rule.memory.norm != "none":
        parameters = (
            Argument("ln_weight", "HV", "scale of the norm", "real"), Argument("ln_bias", "HV", "shift of the norm", "real"),
        )  # fmt: skip
    derived: tuple[str, ...] = ()
    if rule.features.outer:
        derived = tuple(f"{a.name}_features" for a in tokens if a.name in ("q", "k", "erase_key", "erase_write_key"))
        parameters = (*parameters, Argument("feature_coefficients", "D", "coefficients of the polynomial, by degree", "real"))
    return Interface(tuple(tokens), parameters, rule.state, rule.state[: len(rule.weights)], derived, _why_required(rule))


def state_remark(rule: Rule) -> str:
    """A remark on the weights in a state, where they are not those that a memory reads; "" where they are."""
    if rule.mirror.primal or rule.mirror.identity:
        return ""
    *some, last = (weight.name for weight in rule.weights)
    names = f"{', '.join(some)} and {last} hold" if some else f"{last} holds"
    return (
        f"In a state, given or returned, {names} the dual state A, the decayed sum of all writes; the memory reads ψ(A). "
        "Do not pass weights as they are read: the memory would begin at others."
    )


def remark_paragraph(rule: Rule) -> str:
    """The remark as a paragraph that goes on in a docstring; "" where there is none."""
    lines = textwrap.wrap(state_remark(rule), 130)
    return "\n\n" + textwrap.indent("\n".join(lines), "    ") if lines else ""


def _why_required(rule: Rule) -> str:
    if rule.memory.deep:
        return "a deep memory begins at weights that its owner has drawn or learned"
    if rule.mirror.start == "required":
        return f"the retention {rule.kinds['retention']} cannot begin at a zero state"
    return ""
