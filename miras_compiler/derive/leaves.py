"""What a rule is given: gates over their channels, keys, and the names of its state."""

from __future__ import annotations

import sympy as sp

from miras_compiler.derive.dialects import GREEK
from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.elements.optimizer import GradientDescent
from miras_compiler.spec import Spec
from miras_compiler.spec.gates import GATE_LETTERS
from miras_compiler.spec.parametrizations import DECAYS as DECAYS
from miras_compiler.symbols import larger, letter

LOWEST_LOG_DECAY = sp.Integer(-60)
CHANNEL = {"head": (), "key_channel": ("k",), "value_channel": ("v",)}


def gate_axes(spec: Spec, gate: str) -> tuple[str, ...]:
    """The channels that a gate has a value for; none for a gate that is not declared."""
    axes = CHANNEL[spec.gates[gate].per] if gate in spec.gates else ()
    return ("v",) if axes and isinstance(spec.memory, VectorMemory) else axes  # there K = V


def gate_names(spec: Spec) -> list[str]:
    return sorted(spec.gates, key=spec.gate_order)


def code_name(gate: str) -> str:
    """What programs and code call a gate. One of the user's own ends in an underscore, and so never meets a name of the code."""
    return gate if gate in GATE_LETTERS else f"{gate}_"


def gate_letters(gate: str) -> str:
    """ "α", "α_d"."""
    base, _, index = gate.partition("_")
    return (GREEK.get(base, base) + (f"_{index}" if index else "")) if base in GREEK else gate


def clamped_log() -> sp.Expr:
    """A log decay x as it is read: not below −60."""
    return larger(LOWEST_LOG_DECAY, letter("x"))


def outer_features(spec: Spec) -> bool:
    """Whether φ is applied before the tile program, which gets features in place of keys: they are wider than keys."""
    return isinstance(spec.feature_map, PolynomialMap)


def row_axes(spec: Spec) -> tuple[str, ...]:
    """The axis of a raw key or query; where features take the key axis, it is only added to values."""
    return ("v",) if outer_features(spec) else ("k",)


def has_erase_key(spec: Spec) -> bool:
    return isinstance(spec.optimizer, GradientDescent) and spec.optimizer.erase_key


def window_of(spec: Spec) -> int:
    """Tokens that a surprise measures: the token itself and those before it."""
    return spec.attentional_bias.window or 1


def window_gates(spec: Spec) -> list[str]:
    """The gates of the attentional bias, which belong to the token that is measured."""
    return [gate for gate in gate_names(spec) if gate in spec.attentional_bias.gates() and gate != "gamma"]


def steps_of(spec: Spec) -> int:
    """Writes per token."""
    return spec.optimizer.steps if isinstance(spec.optimizer, GradientDescent) else 1


def dual_name(spec: Spec, weight: str) -> str:
    """What the dual state of a weight is called: the weight itself where ψ is the identity, A else."""
    return weight if spec.retention.identity else f"A{weight[1:]}"
