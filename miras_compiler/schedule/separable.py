"""Axes that programs may share out, each with a part of the state."""

from __future__ import annotations

from miras_compiler.ir.nodes import Contract, Decayed, Reduce, Rename, Substitution
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of


def is_separable(program: Program, axis: str) -> bool:
    """True if nothing in the program sums over an axis that every output has."""
    if not all(axis in node.axes for node in program.outputs.values()):
        return False
    return not any(
        (isinstance(node, Contract) and axis in node.over)
        or (isinstance(node, Reduce) and node.axis == axis)
        or (isinstance(node, Decayed) and axis == node.factors["logs"].axes[1] and axis not in node.axes)
        or (isinstance(node, Rename) and axis in (node.old, node.new))
        or (isinstance(node, Substitution) and axis in node.axes and not is_separable(node.phi, axis))
        for node in nodes_of(program)
    )
