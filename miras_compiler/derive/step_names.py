"""The names of the values of a token step: tokens, gates, states of earlier times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import sympy as sp

from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.parts import RuleGate, Weight
from miras_compiler.derive.prediction import subscripted
from miras_compiler.derive.tiles import RuleTiles, clamped_log
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import entrywise, state_tile
from miras_compiler.ir.nodes import Leaf, Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import labels_in_use
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import run_passes

Lag = Literal[1, "chunk"]


@dataclass
class StepNames(RuleTiles):
    """The names of one token; `earlier` says which value of an earlier time a state leaf holds."""

    earlier: dict[Leaf, tuple[str, Lag]] = field(default_factory=dict)

    token = ()
    past = "j"
    gate_section = "gate"

    def name(self, node: Node, name: str, letters: str, section: str, origin: str = "") -> Node:
        self.labels.setdefault(node, Label(name, letters, section, origin))
        return node

    def read_gate(self, gate: RuleGate, leaf: Node) -> Node:
        """Decays as exponentials of the arguments, logarithms below −60 read as −60."""
        node = entrywise(sp.exp(clamped_log()), {"x": leaf}) if gate.decay else leaf
        return self.name(node, gate.code, gate_letters(gate.name), "gate", "gates")

    def finished(self, name: str, outputs: Mapping[str, Node]) -> Program:
        return run_passes(verify_program(Program(name, outputs, labels_in_use(outputs, self.labels))))

    def state(self, weight: Weight, suffix: str, lag: Lag) -> Node:
        """The dual state before the token, or that entered the chunk."""
        return self.leaf(state_tile(weight.name + suffix, weight.axes), self.rule.dual_name(weight.name), lag, "retention")

    def momentum_state(self, weight: Weight) -> Node:
        if self.rule.update.waits:
            return self.leaf(state_tile(f"{weight.name}_momentum", weight.axes), f"S{weight.name[1:]}_pending", "chunk", "optimizer", "S")
        return self.leaf(state_tile(f"{weight.name}_momentum", weight.axes), f"S{weight.name[1:]}", 1, "optimizer")

    def leaf(self, leaf: Node, value: str, lag: Lag, origin: str, letter: str = "") -> Node:
        """A state leaf that holds the named value of an earlier time; `letter` is its own where it has another then."""
        assert isinstance(leaf, Leaf)
        self.earlier[leaf] = (value, lag)
        when, time = ("prev", "t−1") if lag == 1 else ("start", "start")
        letters = subscripted(f"{letter}{value.removesuffix('_pending')[1:]}") if letter else state_letters(value)
        return self.name(leaf, f"{value}_{when}", f"{letters}[{time}]", "state", origin)

    def decayed(self, dual: Node, gates: Mapping[str, Node]) -> Node:
        """A under its decays."""
        decays = {gate: gates[gate] for gate in self.rule.decays}
        return entrywise(sp.Mul(letter("A"), *map(letter, decays)), {"A": dual, **decays}, dual.axes)


def state_letters(value: str) -> str:
    """ "W₁"; of a sum that waits for the end of its chunk, "Z₁"."""
    return subscripted(f"Z{value[1:].removesuffix('_pending')}" if value.endswith("_pending") else value)
