"""Axes of the state along which nothing in the recurrence is reduced: they can be split over programs of a GPU."""

from __future__ import annotations

from collections.abc import Collection

from miras_compiler.derive.update_rule import UpdateRule
from miras_compiler.ir.nodes import Contract, Node, Reduce
from miras_compiler.ir.traverse import dependents, topological


def separable_axes(rule: UpdateRule) -> tuple[str, ...]:
    """Axes of the state that neither the next state nor the output sums over, once they depend on the state."""
    program = rule.step.program
    axes = {axis for leaf in rule.step.earlier for axis in leaf.axes}
    return tuple(sorted(axis for axis in axes if not _is_reduced(axis, program.outputs.values(), list(rule.step.earlier))))


def _is_reduced(axis: str, roots: Collection[Node], states: list[Node]) -> bool:
    reached = dependents(roots, states)
    for node in topological(roots):
        if not any(arg in reached for arg in node.args):
            continue
        if isinstance(node, Reduce) and node.axis == axis:
            return True
        if isinstance(node, Contract) and axis in node.over:
            return True
    return False
