"""Reads of every token's own state: A_t [c, rows, columns] for a whole tile, mapped by ψ, read token by token.

Form 1b of docs/mathematics.md §7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from miras_compiler.derive.parts import Weight
from miras_compiler.derive.prediction import subscripted
from miras_compiler.derive.rule import Rule
from miras_compiler.derive.writes import Writes
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import add, contract, entrywise, times, total
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.nodes import Node
from miras_compiler.lower.coefficients import Moment, TileCoefficients


@dataclass(frozen=True)
class PerTokenReads:
    """The states of one tile."""

    rule: Rule
    coefficients: TileCoefficients
    before: Mapping[str, Node]
    momentum: Mapping[str, Node]
    writes: Writes
    moment: Moment
    name: Callable[..., Node]

    def times(self, weight: Weight, rows: Node) -> Node:
        """x_t W_t."""
        product = times(rows, self.primal(weight))
        return total(product, weight.rows) if weight.columns else product

    def primal(self, weight: Weight) -> Node:
        """ψ(A_t) of every token; on a linear path `before` is where it begins, and ψ is not applied."""
        rule, dual = self.rule, self.dual(weight)
        if rule.mirror.identity or rule.chunk.linear:  # a linear path begins at the mapped state and follows the dual one
            return dual
        primal = lower_expression(rule.mirror_map, {"a": dual}, rule.mirror.axes(weight), dual.axes)
        return self.name(primal, f"{weight.name}_t", subscripted(weight.name), "read")

    def dual(self, weight: Weight) -> Node:
        """A_t of every token."""
        c, moment, name = self.coefficients, self.moment, weight.name
        state = times(c.decay_from_start(c.head("alpha") if "alpha" in c.logs else None, moment), self.before[name])
        for gate in (*c.channel("k"), *c.channel("v")):
            state = times(state, c.decay_from_start(gate, moment))
        reach = c.reach(moment)
        if reach is not None:
            state = add(state, times(reach, self.momentum[name]))
        for write in self.writes[name]:
            outer = times(write.left, write.right)
            weights = c.G(moment)
            for gate in (*c.channel("k"), *c.channel("v")):
                weights = times(weights, c.between(gate, moment))
            collected = contract(weights, outer) if len(weights.axes) == 2 else total(times(weights, outer), c.source)
            state = entrywise(letter("x") - letter("y"), {"x": state, "y": collected}, ("c", *weight.axes))
        return self.name(state, f"{self.value(weight)}_t", subscripted(self.value(weight)), "read")

    def value(self, weight: Weight) -> str:
        return self.rule.dual_name(weight.name)
