"""The tiles that a rule is built of, with their names: of one token, or of many tokens along the axis c.

A token step and a program of a tile differ in their use of past surprises. The values of a token and their names, the features of keys, and
the map of a dual state are the same in both, and stand here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import sympy as sp

from miras_compiler.derive.gate_letters import gate_letters
from miras_compiler.derive.parts import RuleGate
from miras_compiler.derive.prediction import Prediction, build_features
from miras_compiler.derive.rule import Rule
from miras_compiler.expressions.symbols import larger, letter
from miras_compiler.ir.build import entrywise, input_tile, total
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.nodes import Axes, Node
from miras_compiler.ir.program import Label

LOWEST_LOG_DECAY = sp.Integer(-60)
LETTERS = {"erase_key": "κ", "erase_write_key": "b"}


def clamped_log() -> sp.Expr:
    """A log decay x as it is read: not below −60."""
    return larger(LOWEST_LOG_DECAY, letter("x"))


@dataclass
class RuleTiles(ABC):
    """Collects labels while a program is built; a value keeps the first name it gets."""

    rule: Rule
    labels: dict[Node, Label] = field(default_factory=dict)

    token: ClassVar[Axes]  # the axes of tokens in front of those of a row
    past: ClassVar[str]  # the axis of the rows of a window
    gate_section: ClassVar[str]

    @abstractmethod
    def name(self, node: Node, name: str, letters: str, section: str, origin: str = "") -> Node:
        """The node, labelled."""

    @abstractmethod
    def read_gate(self, gate: RuleGate, leaf: Node) -> Node:
        """A gate as the program computes with it."""

    @property
    def windowed(self) -> bool:
        """True if a token has the rows of a window beside its own."""
        return self.rule.surprise.window > 1

    def row(self, name: str) -> Node:
        """A row that a token brings."""
        axes = ("v",) if name == "v" else self.rule.row_axes
        return self.name(input_tile(name, (*self.token, *axes)), name, LETTERS.get(name, name), "input", "input")

    def features(self, rows: Node) -> Node:
        """φ of rows that have a name."""
        label = self.labels[rows]
        return self.name(build_features(self.rule, rows), f"{label.name}_phi", f"φ({label.letters})", "input", "feature_map")

    def gates(self) -> dict[str, Node]:
        """The gates of tokens by name; gamma comes with the rows of a window."""
        gates = [gate for gate in self.rule.gates.values() if not (self.windowed and self.comes_with_rows(gate))]
        return {gate.name: self.read_gate(gate, input_tile(gate.leaf, (*self.token, *gate.axes))) for gate in gates}

    def comes_with_rows(self, gate: RuleGate) -> bool:
        """True if a gate is none of the token's where surprises have a window."""
        return gate.name == "gamma"

    def window_rows(self) -> tuple[Node, Node, dict[str, Node]]:
        """Keys and values of the rows of a window, and the gates that belong to them."""
        (axis,) = self.rule.row_axes
        k = self.name(input_tile("k_rows", (self.past, axis)), "k_rows", "k", "input", "input")
        v = self.name(input_tile("v_rows", (self.past, "v")), "v_rows", "v", "input", "input")
        own = {gate.name: input_tile(f"{gate.code}_rows", (self.past, *gate.axes)) for gate in self.rule.gates.values() if gate.measured}
        for gate, tile in own.items():
            self.name(tile, f"{self.rule.gates[gate].code}_rows", gate_letters(gate), self.gate_section, "gates")
        return k, v, own

    def step_size(self, keys: Node, eta: Node) -> Node:
        """eta, or the optimizer's step size for rows of keys."""
        if not self.rule.update.own_step_size:
            return eta
        square = total(entrywise(letter("x") ** 2, {"x": keys}), "k")
        node = entrywise(self.rule.update.step_size, {"eta": eta, "kk": square})
        return self.name(node, "step_size", "η̃", self.gate_section, "optimizer")

    def primal(self, name: str, dual: Node) -> Node:
        """ψ of one weight's dual state, or of one per token."""
        if self.rule.mirror.identity:
            return dual
        weight = next(weight for weight in self.rule.weights if weight.name == name)
        return lower_expression(self.rule.mirror_map, {"a": dual}, self.rule.mirror.axes(weight), dual.axes)

    def gain(self, sums: Node) -> Node:
        """The factor of the written key, from the decayed sum of squared keys."""
        assert self.rule.update.gain is not None
        return self.name(entrywise(self.rule.update.gain, {"D": sums}), "gain", "m", "surprise", "optimizer")

    def take_names(self, prediction: Prediction) -> None:
        """The names of the values of a prediction, for those that have none yet."""
        self.labels |= {node: label for node, label in prediction.labels.items() if node not in self.labels}
