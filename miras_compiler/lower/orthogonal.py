"""Muon after every token: S_t of a whole tile, its orthogonalized steps, and the states that they add up to."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.derive.newton_schulz import newton_schulz
from miras_compiler.derive.parts import Weight
from miras_compiler.derive.prediction import subscripted
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import add, contract, entrywise, rename, times, total
from miras_compiler.ir.nodes import Node
from miras_compiler.lower.per_token import PerTokenReads


@dataclass(frozen=True)
class OrthogonalReads(PerTokenReads):
    """A_t = β_t A_0 + Σ_{j≤t} (β_t/β_j) eta_j NS(S_j), with S_j = m_j S_0 − Σ_{i≤j} (m_j/m_i) g_i."""

    def dual(self, weight: Weight) -> Node:
        c, moment, name = self.coefficients, self.moment, weight.name
        weights = times(c.triangle(c.head("alpha") if "alpha" in c.logs else None, moment, "c", "j"), rename(self.eta(), "c", "j"))
        kept = times(c.decay_from_start("alpha" if "alpha" in c.logs else None, moment), self.before[name])
        state = add(kept, entrywise(letter("x"), {"x": contract(weights, rename(self.steps(weight), "c", "j"))}, ("c", *weight.axes)))
        return self.name(state, f"{self.value(weight)}_t", subscripted(self.value(weight)), "read")

    def steps(self, weight: Weight) -> Node:
        """NS(S_t) of every token."""
        orthogonal = self.rule.update.orthogonal
        assert orthogonal is not None
        rows, columns = self.rule.shorter_axis_first(weight)
        node = newton_schulz(self.momenta(weight), rows, columns, orthogonal.triples)
        return self.name(node, f"O{weight.name[1:]}_t", f"O{subscripted(weight.name[1:])}", "read", definition="NS₅")

    def momenta(self, weight: Weight) -> Node:
        """S_t of every token."""
        c, name = self.coefficients, weight.name
        weights = c.triangle("mu", "after", "c", "j")
        if c.valid is not None:
            weights = times(weights, rename(c.valid, "c", "j"))
        if c.window is not None:
            weights = contract(weights, c.window.weights)
        state = times(c.decay_from_start("mu", "after"), self.momentum[name])
        for write in self.writes[name]:
            collected = contract(weights, times(write.left, write.right))
            state = entrywise(letter("x") - letter("y"), {"x": state, "y": collected}, ("c", *weight.axes))
        return self.name(state, f"S{name[1:]}_t", f"S{subscripted(name[1:])}", "read")

    def behind(self, weight: Weight, weights: Node) -> Node:
        """Σ_j weights_j NS(S_j)."""
        return total(times(weights, rename(self.steps(weight), "c", "j")), "j")

    def eta(self) -> Node:
        assert self.coefficients.eta is not None
        return self.coefficients.eta
