"""Checks on the range of gates: a parametrization that can make the gate, ends that it can keep, and a start inside."""

from __future__ import annotations

import math
from collections.abc import Iterator

from miras_compiler.elements.optimizer import GradientDescent
from miras_compiler.errors import Fault
from miras_compiler.spec.gates import Gate
from miras_compiler.spec.parametrizations import PARAMETRIZATIONS
from miras_compiler.spec.schema import Spec


def ranges(spec: Spec) -> Iterator[Fault]:
    """Parametrization, range and start of every gate; a later fault of the same gate would be a consequence of the first."""
    for name, gate in spec.gates.items():
        faults = (fault for check in (_constant, _made_of_eta, _parametrization, _ends, _start) for fault in check(spec, name, gate))
        if (first := next(faults, None)) is not None:
            yield first


def _constant(spec: Spec, name: str, gate: Gate) -> Iterator[Fault]:
    for key in ("parametrization", "range"):
        if gate.source == "constant" and getattr(gate, key) is not None:
            yield Fault(("gates", name, key), f"the gate '{name}' is constant and has a {key}", "it stays at its init", f"remove `{key}`")


def _made_of_eta(spec: Spec, name: str, gate: Gate) -> Iterator[Fault]:
    """A decay that is made of the step size needs one that is a softplus, and a number for each of its own."""
    if gate.source != "eta":
        return
    path, made = ("gates", name, "source"), f"the gate '{name}' is made of eta"
    eta, optimizer = spec.gates.get("eta"), spec.optimizer
    if not spec.gate_letter(name).decay or spec.gate_range(name).parametrization != "exp_softplus":
        why = "log α = −exp(A) η is a decay with the parametrization exp_softplus"
        yield Fault(path, made, why, "say `parametrization: exp_softplus` of a decay, or another source")
    elif eta is None or eta.source == "constant" or spec.gate_range("eta")[:3] != ("softplus", 0, math.inf):
        yield Fault(path, made, "that needs an eta which is a softplus of the input or of learned numbers", "or another source")
    elif eta.per != gate.per:
        yield Fault(path, made, f"it is per {gate.per}, and eta per {eta.per}", f"say `per: {eta.per}`")
    elif isinstance(optimizer, GradientDescent) and optimizer.steps > 1:
        yield Fault(path, made, "a token has several step sizes, and one decay", "say another source")


def _parametrization(spec: Spec, name: str, gate: Gate) -> Iterator[Fault]:
    """Decays and other gates have functions of their own, whose values are values of the letter."""
    if gate.source == "constant":
        return
    own, letter = spec.gate_range(name), spec.gate_letter(name)
    path, made = (
        ("gates", name, "parametrization" if gate.parametrization else "range"),
        f"the gate '{name}' is made by {own.parametrization}",
    )
    decays = letter.decay
    if PARAMETRIZATIONS[own.parametrization].of_decays not in (None, decays):
        fitting = [other for other, row in PARAMETRIZATIONS.items() if row.of_decays in (None, decays) and other != "identity"]
        why = (
            "it is a decay, which the operators take as a logarithm" if decays else "that is for decays, which operators take as logarithms"
        )
        yield Fault(path, made, why, f"one of {', '.join(fitting)}")
    elif own.low < letter.low or own.high > letter.high:
        why = f"it reaches from {own.low:g} to {own.high:g}, and '{name}' lies from {letter.low:g} to {letter.high:g}"
        yield Fault(path, made, why, "say a narrower `range`")


def _ends(spec: Spec, name: str, gate: Gate) -> Iterator[Fault]:
    if gate.source == "constant":
        return
    own = spec.gate_range(name)
    settable, path = PARAMETRIZATIONS[own.parametrization].ends, ("gates", name, "range")
    if gate.range is None:
        if settable == "above 0":
            yield Fault(
                ("gates", name, "parametrization"), f"the gate '{name}' is made by {own.parametrization}, and no range is given",
                "its lower end belongs to the formula, low^σ(x + b)", "for example `range: [0.5, 1]`",
            )  # fmt: skip
        return
    given = f"the gate '{name}' has the range [{', '.join('null' if end is None else f'{end:g}' for end in gate.range)}]"
    low, high = gate.range
    if settable == "none":
        reach = PARAMETRIZATIONS[own.parametrization]
        natural = "all numbers" if math.isinf(reach.low) else f"{reach.low:g} to {reach.high:g}"
        yield Fault(path, given, f"the range of {own.parametrization} is {natural}", "remove `range`, or say another parametrization")
    elif low is None or (high is None) != (settable == "low") or (settable == "above 0" and (low <= 0 or high != 1)):
        expected = {"both": "two ends", "low": "a lower end and null", "above 0": "a lower end above 0, and 1"}[settable]
        yield Fault(path, given, f"{own.parametrization} takes {expected}", "for example `parametrization: sigmoid` for two ends")
    elif own.low >= own.high:
        yield Fault(path, given, "it is empty", "write the lower end first")


def _start(spec: Spec, name: str, gate: Gate) -> Iterator[Fault]:
    """`init` has one entry per head, inside the range of the gate, ends left out where a parametrization does not reach them."""
    path, letter, own = ("gates", name, "init"), spec.gate_letter(name), spec.gate_range(name)
    values = gate.init if isinstance(gate.init, tuple) else (gate.init,)
    if isinstance(gate.init, tuple) and len(values) != spec.layer.value_heads:
        heads, key = spec.layer.value_heads, "layer.value_heads" if spec.layer.groups > 1 else "layer.heads"
        yield Fault(path, f"{len(values)} initial values for {heads} heads", "", f"give one number, or one per head ({key})")
    constant = gate.source == "constant"
    outside = [value for value in values if not (letter.holds(value) if constant else own.reaches(value))]
    if outside:
        why = f"'{name}' is {own.domain}" + ("" if constant else f", and its {own.parametrization} does not reach the ends")
        example = letter.init if constant or own.reaches(letter.init) else (own.low + min(own.high, own.low + 2)) / 2
        yield Fault(path, f"the gate '{name}' starts at {outside[0]:g}", why, f"for example {example:g}")
