"""`Rule`: the meaning of a spec, as a value that all later stages read in place of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from miras_compiler.derive.chain_rule import derive_bias_derivative
from miras_compiler.derive.mirror_map import derive_mirror_map
from miras_compiler.derive.parts import (
    ChunkRule,
    Entry,
    Features,
    Frame,
    MemoryMap,
    MirrorMap,
    Recurrence,
    RuleGate,
    Surprise,
    Update,
    Weight,
    chunk_of,
    features_of,
    frame_of,
    gates_of,
    memory_of,
    mirror_of,
    recurrences_of,
    surprise_of,
    update_of,
)
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec import Spec

ELEMENTS = ("memory", "feature_map", "attentional_bias", "retention", "optimizer")


@dataclass(frozen=True, repr=False)
class Rule:
    """The parts of a rule, ∂ℓ/∂u and ψ. `kinds` are those of the elements, by their keys in the spec: for sentences."""

    frame: Frame
    kinds: Mapping[str, str]
    bias_derivative: sp.Expr
    mirror_map: sp.Expr
    memory: MemoryMap
    features: Features
    gates: Mapping[str, RuleGate]  # in canonical order
    recurrences: Mapping[str, Recurrence]  # by state
    surprise: Surprise
    update: Update
    mirror: MirrorMap
    chunk: ChunkRule

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The weights of the memory."""
        return self.memory.weights

    @property
    def state(self) -> tuple[Entry, ...]:
        """Everything that a final state holds, the weights first: the entries of the parts."""
        of_state, of_momentum, of_keys = (each.entries if (each := self.recurrences.get(name)) else () for name in "ASD")
        return (*of_state, *of_momentum, *self.update.entries, *self.chunk.entries, *of_keys, *self.surprise.entries)

    @property
    def carried(self) -> tuple[Entry, ...]:
        """The entries of the state that go from token to token."""
        return tuple(entry for entry in self.state if entry.goes == "by token")

    @property
    def momentum(self) -> bool:
        """True if the state carries S beside A."""
        return "S" in self.recurrences

    @property
    def decays(self) -> tuple[str, ...]:
        """The gates that A decays by."""
        return self.recurrences["A"].decays

    @property
    def row_axes(self) -> Axes:
        """The axis of a raw key or query; where features take the key axis, it is only added to values."""
        return ("v",) if self.features.outer else ("k",)

    @property
    def measured_gates(self) -> list[str]:
        """The gates that belong to the token that is measured."""
        return [gate.name for gate in self.gates.values() if gate.measured]

    def where(self, key: str) -> str:
        """The place of a key in the spec, "specs/x.yaml:9"."""
        return self.frame.where(key)

    def axes(self, gate: str) -> Axes:
        """The channels that a gate has a value for; none for a gate that is not declared."""
        return self.gates[gate].axes if gate in self.gates else ()

    def dual_name(self, weight: str) -> str:
        """The name of a weight's dual state: the weight itself where ψ is the identity, A otherwise."""
        return weight if self.mirror.identity else f"A{weight[1:]}"

    def shorter_axis_first(self, weight: Weight) -> tuple[str, str]:
        """The two axes of a weight, the one that is shorter at the spec's widths first; rows of a first weight are features of keys."""
        length = {"k": self.frame.feature_dim, "v": self.frame.value_dim}
        rows, columns = weight.axes
        hidden = self.frame.hidden_dim
        return (rows, columns) if length.get(rows, hidden) <= length.get(columns, hidden) else (columns, rows)


def describe_rule(spec: Spec) -> Rule:
    """The rule of a checked spec; raises SpecError where a definition cannot be derived."""
    positive = frozenset(letter(name) for name in spec.gates if spec.gate_range(name).is_positive)
    derivative = derive_bias_derivative(spec.attentional_bias, positive)
    if spec.attentional_bias.window == 1:
        derivative = letter("gamma") * derivative  # a window of the token alone
    gates = gates_of(spec)
    return Rule(
        frame=frame_of(spec),
        kinds={key: getattr(spec, key).kind for key in ELEMENTS},
        bias_derivative=derivative,
        mirror_map=derive_mirror_map(spec.retention),
        memory=memory_of(spec),
        features=features_of(spec),
        gates=gates,
        recurrences=recurrences_of(spec),
        surprise=surprise_of(spec, gates),
        update=update_of(spec),
        mirror=mirror_of(spec),
        chunk=chunk_of(spec, gates),
    )
