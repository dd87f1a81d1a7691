"""Checks on gates: declared and used, fine or coarse, started inside their range."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from miras_compiler.elements.bias import FormulaBias, HuberNormBias, ThresholdBias, YaadSwitchBias
from miras_compiler.elements.optimizer import Implicit
from miras_compiler.elements.retention import KLRetention, L2Retention
from miras_compiler.elements.user_formula import STATES, foreign_letter
from miras_compiler.errors import Fault, near
from miras_compiler.expressions.symbols import RowMax, RowSum
from miras_compiler.spec.gates import GATE_LETTERS
from miras_compiler.spec.schema import Spec

MOST_GATES = 24
CHANNEL_INSIDE_SLICE = {"input": ("key_channel",), "output": ("value_channel",), "all": ("key_channel", "value_channel")}


def undeclared_gate(spec: Spec) -> Iterator[Fault]:
    """Every gate that the rule reads stands under `gates`."""
    readers = {"eta": "every rule"}
    for role in ("retention", "optimizer", "attentional_bias"):
        element = getattr(spec, role)
        readers.update(dict.fromkeys(element.gates(), f"the {role.replace('_', ' ')} {element.kind}"))
    for name in spec.used_gates():
        if name in spec.gates:
            continue
        if isinstance(spec.attentional_bias, FormulaBias) and name in STATES:
            yield Fault(("attentional_bias", "loss"), *foreign_letter(name, STATES[name]))
        else:
            example = "{source: constant, init: 1}" if name == "eta" else f"{{init: {spec.gate_letter(name).init:g}}}"
            yield Fault(
                ("gates",), f"{readers[name]} reads the gate '{name}', which is not declared", "", f"add `{name}: {example}` to gates"
            )


def number_of_gates(spec: Spec) -> Iterator[Fault]:
    """Gates, the state and the tiles that kernels keep of both are arguments of one operator of PyTorch, which has at most 64."""
    if len(spec.gates) > MOST_GATES:
        yield Fault(("gates",), f"{len(spec.gates)} gates are too many", f"an operator takes at most {MOST_GATES}", "use fewer")


def unused_gate(spec: Spec) -> Iterator[Fault]:
    """Every gate under `gates` is read by the rule."""
    used = spec.used_gates()
    for name in spec.gates:
        if name not in used:
            close = near(name, used)
            meant = f"did you mean '{close}'?" if close else f"the rule reads {', '.join(sorted(used))}"
            yield Fault(("gates", name), f"the gate '{name}' is declared and nothing reads it", "", f"remove it; {meant}")


def borrowed_letter(spec: Spec) -> Iterator[Fault]:
    """A bias takes gates of its own, not the letters that the rule reads elsewhere and partly as logarithms."""
    bias = spec.attentional_bias
    if isinstance(bias, ThresholdBias) and isinstance(bias.delta, str) and bias.delta in GATE_LETTERS and bias.delta != "delta":
        yield Fault(
            ("attentional_bias", "delta"),
            f"the threshold is '{bias.delta}', {GATE_LETTERS[bias.delta].meaning}",
            "a threshold is a gate of its own",
            "name it delta",
        )
    if isinstance(bias, FormulaBias):
        for name in bias.gates():
            if name in GATE_LETTERS and name not in ("eta", "delta", *(("gamma",) if bias.window else ())):
                yield Fault(
                    ("attentional_bias", "loss"),
                    f"the formula uses '{name}', {GATE_LETTERS[name].meaning}",
                    "it has its place in the rule already",
                    "use a name of its own",
                )


def per_channel_gate(spec: Spec) -> Iterator[Fault]:
    """Refuses a gate per channel where its action is not defined, or not built."""
    for name, gate in spec.gates.items():
        if gate.per == "head":
            continue
        path = ("gates", name, "per")
        if name in ("mu", "gamma"):
            yield Fault(path, f"the gate '{name}' is per {gate.per}", f"{name} is defined per head only", "say `per: head`")
        elif spec.memory.deep:
            why = "no paper says how a vector over channels acts on the weight matrices of a deep memory"
            yield Fault(path, f"the gate '{name}' is per {gate.per} on a deep memory", why, "say `per: head`")
        elif name == "alpha" and isinstance(spec.retention, KLRetention) and gate.per in CHANNEL_INSIDE_SLICE[spec.retention.slice]:
            why = "the kl retention needs one alpha for all entries that sum to its total"
            yield Fault(path, f"alpha is per {gate.per}, inside a slice (retention.slice: {spec.retention.slice})", why, "say `per: head`")
        elif (name == "alpha_d" or name == "eta_d") and gate.per == "value_channel":
            yield Fault(
                path, f"the gate '{name}' is per value_channel", "the preconditioner has a value per key channel", "say `per: head`"
            )
        elif name == "eta" and isinstance(spec.optimizer, Implicit):
            yield Fault(
                path, f"eta is per {gate.per} with the optimizer implicit", "its step size is one number per token", "say `per: head`"
            )
        elif name in spec.attentional_bias.gates() and (gate.per == "key_channel" or _by_row(spec, name)):
            why = "the attentional bias sees values only" if gate.per == "key_channel" else "it stands beside one number per token"
            yield Fault(path, f"the gate '{name}' of the attentional bias is per {gate.per}", why, "say `per: head`")


def _by_row(spec: Spec, name: str) -> bool:
    """True if the bias has its gate beside a number per row, and not under a reduction of one."""
    bias = spec.attentional_bias
    return isinstance(bias, HuberNormBias | YaadSwitchBias) or (isinstance(bias, FormulaBias) and name in _unreduced(bias.loss()))


def _unreduced(expr: sp.Expr) -> set[str]:
    """The letters outside of sum, max and norm."""
    if isinstance(expr, sp.Symbol):
        return {expr.name}
    return set() if isinstance(expr, RowSum | RowMax) else set().union(*map(_unreduced, expr.args))


def decay_of_values(spec: Spec) -> Iterator[Fault]:
    """With two decays each has its own channel."""
    wants = {"alpha": "key_channel or head", "alpha_value": "value_channel"}
    for name, want in wants.items():
        two = isinstance(spec.retention, L2Retention) and spec.retention.value_decay and name in spec.gates
        if two and spec.gates[name].per not in want:
            why = "value_decay has one decay of the rows of W and one of its columns"
            yield Fault(("gates", name, "per"), f"{name} is per {spec.gates[name].per}", why, f"say `per: {want.split()[0]}`")
