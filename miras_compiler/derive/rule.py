"""`Rule`: what a spec means, as a value that everything behind it reads in place of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from miras_compiler.derive.parts import (
    Entry,
    Features,
    MemoryMap,
    MirrorMap,
    Reads,
    Recurrence,
    RuleGate,
    Surprise,
    Update,
    Weight,
)
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec import Spec
from miras_compiler.symbols import letter


@dataclass(frozen=True, repr=False)
class Rule:
    """The parts of a rule, ∂ℓ/∂u and ψ.

    `chunk` are the tokens whose surprises are taken at one state, 1 where each is taken at the state that its token finds. The spec gives
    widths, the layer and the places where its keys stand.
    """

    spec: Spec
    bias_derivative: sp.Expr
    mirror_map: sp.Expr
    weights: tuple[Weight, ...]
    state: tuple[Entry, ...]
    gates: Mapping[str, RuleGate]  # in canonical order
    recurrences: Mapping[str, Recurrence]  # by state
    memory: MemoryMap
    features: Features
    surprise: Surprise
    update: Update
    mirror: MirrorMap
    reads: Reads
    chunk: int

    @property
    def frozen(self) -> bool:
        """Whether all surprises of a chunk are taken at the state that enters it."""
        return self.chunk > 1

    @property
    def momentum(self) -> bool:
        """Whether the state carries S beside A."""
        return "S" in self.recurrences

    @property
    def decays(self) -> tuple[str, ...]:
        """The gates that A decays by."""
        return self.recurrences["A"].decays

    @property
    def waits(self) -> bool:
        """Whether a full chunk is more than its last token: the sum of its surprises is written at its end."""
        return self.update.orthogonal is not None and self.update.orthogonal.waits

    @property
    def sized(self) -> bool:
        """Whether S has the step sizes of its surprises in it."""
        return self.update.orthogonal is None or self.update.orthogonal.sized

    @property
    def own_step_size(self) -> bool:
        """Whether the step size is another than eta."""
        return bool(self.update.step_size != letter("eta"))

    @property
    def path(self) -> bool:
        """Whether the state holds the decay since the chunk's start, for reads on a linear path."""
        return self.reads.linear and self.frozen

    @property
    def entrywise(self) -> bool:
        """Whether the memory is one row of weights, which multiplies rows entry by entry."""
        return not self.weights[0].columns

    @property
    def one_width(self) -> bool:
        """Whether values must be as wide as keys."""
        return self.memory.residual or self.entrywise

    @property
    def row_axes(self) -> Axes:
        """The axis of a raw key or query; where features take the key axis, it is only added to values."""
        return ("v",) if self.features.outer else ("k",)

    @property
    def measured_gates(self) -> list[str]:
        """The gates that belong to the token that is measured."""
        return [gate.name for gate in self.gates.values() if gate.measured]

    @property
    def carried(self) -> tuple[Entry, ...]:
        """The entries of the state that go from token to token."""
        return tuple(entry for entry in self.state if entry.goes == "by token")

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of every element, by its key in the spec: for sentences."""
        return {key: getattr(self.spec, key).kind for key in ("memory", "feature_map", "attentional_bias", "retention", "optimizer")}

    def where(self, key: str) -> str:
        """Where the spec says a key, "specs/x.yaml:9"."""
        return self.spec.where(key)

    def axes(self, gate: str) -> Axes:
        """The channels that a gate has a value for; none for a gate that is not declared."""
        return self.gates[gate].axes if gate in self.gates else ()

    def dual_name(self, weight: str) -> str:
        """What the dual state of a weight is called: the weight itself where ψ is the identity, A else."""
        return weight if self.mirror.identity else f"A{weight[1:]}"

    def shorter_axis_first(self, weight: Weight) -> tuple[str, str]:
        """The two axes of a weight, the one that is shorter at the spec's widths first; rows of a first weight are features of keys."""
        length = {"k": self.spec.feature_dim, "v": self.spec.value_dim}
        rows, columns = weight.axes
        hidden = self.spec.hidden_dim
        return (rows, columns) if length.get(rows, hidden) <= length.get(columns, hidden) else (columns, rows)
