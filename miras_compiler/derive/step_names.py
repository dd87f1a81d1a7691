"""What a token step calls its values: tokens, gates, states of earlier times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import sympy as sp

from miras_compiler.derive.chunk_end import waits_for_chunk_end
from miras_compiler.derive.leaves import DECAYS, clamped_log, code_name, dual_name, gate_axes, gate_letters, gate_names, row_axes, window_of
from miras_compiler.derive.prediction import build_features, subscripted
from miras_compiler.elements.memory import Weight
from miras_compiler.ir.build import entrywise, input_tile, lower_expression, state_tile
from miras_compiler.ir.nodes import Axes, Label, Leaf, Node, Program
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import run_passes
from miras_compiler.spec import Spec

Lag = Literal[1, "chunk"]


@dataclass
class StepNames:
    """Collects labels while a step is built; a value keeps the first name it gets."""

    spec: Spec
    derivative: sp.Expr  # ∂ℓ/∂u
    mirror_map: sp.Expr  # ψ
    labels: dict[Node, Label] = field(default_factory=dict)
    earlier: dict[Leaf, tuple[str, Lag]] = field(default_factory=dict)

    def name(self, node: Node, name: str, letters: str, section: str, origin: str) -> Node:
        self.labels.setdefault(node, Label(name, letters, section, origin))
        return node

    def finished(self, name: str, outputs: Mapping[str, Node]) -> Program:
        return run_passes(verify_program(Program(name, outputs, labels_in_use(outputs, self.labels))))

    def row(self, name: str) -> Node:
        letters = {"erase_key": "κ", "erase_write_key": "b"}.get(name, name)
        return self.name(input_tile(name, row_axes(self.spec)), name, letters, "input", "input")

    def features(self, rows: Node) -> Node:
        mapped = build_features(self.spec, rows)
        label = self.labels[rows]
        return self.name(mapped, f"{label.name}_phi", f"φ({label.letters})", "input", "feature_map")

    def gates(self) -> dict[str, Node]:
        """Gates by letter; decays as exponentials of what is passed, logarithms below −60 read as −60."""
        gates: dict[str, Node] = {}
        for gate in gate_names(self.spec):
            if gate == "gamma" and window_of(self.spec) > 1:
                continue  # it comes with the rows of the window
            axes = gate_axes(self.spec, gate)
            node = input_tile(f"log_{gate}" if gate in DECAYS else code_name(gate), axes)
            if gate in DECAYS:
                node = entrywise(sp.exp(clamped_log()), {"x": node})
            gates[gate] = self.name(node, code_name(gate), gate_letters(gate), "gate", "gates")
        return gates

    def state(self, weight: Weight, suffix: str, lag: Lag) -> Node:
        """The dual state before the token, or that entered the chunk."""
        return self.leaf(state_tile(weight.name + suffix, weight.axes), dual_name(self.spec, weight.name), lag, "retention")

    def momentum_state(self, weight: Weight) -> Node:
        if waits_for_chunk_end(self.spec):
            return self.leaf(state_tile(f"{weight.name}_momentum", weight.axes), f"S{weight.name[1:]}_pending", "chunk", "optimizer", "S")
        return self.leaf(state_tile(f"{weight.name}_momentum", weight.axes), f"S{weight.name[1:]}", 1, "optimizer")

    def leaf(self, leaf: Node, value: str, lag: Lag, origin: str, letter: str = "") -> Node:
        """A state leaf that holds the named value of an earlier time; `letter` is its own where it has another then."""
        assert isinstance(leaf, Leaf)
        self.earlier[leaf] = (value, lag)
        when, time = ("prev", "t−1") if lag == 1 else ("start", "start")
        letters = subscripted(f"{letter}{value.removesuffix('_pending')[1:]}") if letter else state_letters(value)
        return self.name(leaf, f"{value}_{when}", f"{letters}[{time}]", "state", origin)

    def primal(self, name: str, dual: Node) -> Node:
        """ψ of one weight's dual state."""
        if self.spec.retention.identity:
            return dual
        weight = next(w for w in self.spec.memory.weights() if w.name == name)
        return lower_expression(self.mirror_map, {"a": dual}, slice_axes(self.spec, weight), dual.axes)


def state_letters(value: str) -> str:
    """ "W₁"; of a sum that waits for the end of its chunk, "Z₁"."""
    return subscripted(f"Z{value[1:].removesuffix('_pending')}" if value.endswith("_pending") else value)


def slice_axes(spec: Spec, weight: Weight) -> Axes:
    """The axes of a weight matrix that a reduction in ψ runs over."""
    return {"input": weight.axes[:1], "output": weight.axes[-1:], "all": weight.axes}[spec.retention.slice_axis()]
