"""A tile in stages, so that only one block of an axis lives at a time: of the hidden width of a deep memory, else of the values.

Tiles with the axis are computed in loops over its blocks, each of which sums up the inputs of the next stage; other tiles stand between the
loops. A block that two loops need is loaded or computed in both.
"""

from __future__ import annotations

import sympy as sp

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import Contract, Map, Node, Reduce, Rename
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of, use_counts

HIDDEN, VALUES = "n", "v"


class Stages:
    """`stage` of a tile: the loop that can first compute it, or the loops that it has to wait for where it lacks the `axis`."""

    def __init__(self, program: Program, axis: str) -> None:
        self.program, self.axis = program, axis
        self.stage: dict[Node, int] = {}
        for node in nodes_of(program):
            self.stage[node] = max((self.stage[arg] for arg in node.args), default=0) + is_sum_over(axis, node)
        self.chains = self._chains()
        self.loops = max(stage + self.has_axis(node) for node, stage in self.stage.items())

    def has_axis(self, node: Node) -> bool:
        return self.axis in node.axes

    def _chains(self) -> dict[Node, list[tuple[Node, int]]]:
        """By the tile that they add up to, the sums with their signs that share an accumulator: all of one loop, read by nothing else."""
        uses = use_counts(self.program)
        found: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.stage:
            if is_sum_over(self.axis, node):
                found[node] = [(node, 1)]
        for node in self.stage:
            if not isinstance(node, Map) or not node.args or not all(arg in found and uses[arg] == 1 for arg in node.args):
                continue
            signs = {placeholder(i): (arg, 1) for i, arg in enumerate(node.args)} | {
                -placeholder(i): (arg, -1) for i, arg in enumerate(node.args)
            }
            terms = sp.Add.make_args(node.expr)
            same = len({(self.stage[arg], arg.axes) for arg in node.args} | {(self.stage[node], node.axes)}) == 1
            if same and len(terms) > 1 and all(term in signs for term in terms):
                for arg in node.args:
                    del found[arg]
                found[node] = [signs[term] for term in terms]
        return found

    def sums(self, loop: int) -> list[Node]:
        """The sums of a loop."""
        return [node for node in self.stage if node in self.chains and self.stage[node] == loop + 1]

    def entering(self, roots: list[Node]) -> list[Node]:
        """Tiles without the axis that the blocks under `roots` are computed from."""
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        stack = list(reversed(roots))
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if self.has_axis(node) or node in roots:
                stack.extend(reversed(node.args))
            else:
                found[node] = None
        return sorted(found, key=list(self.stage).index)


def is_sum_over(axis: str, node: Node) -> bool:
    return axis not in node.axes and any(axis in arg.axes for arg in node.args)


def staged_axis(program: Program, wide: str = "") -> str:
    """The axis that can be taken block after block, "" for none: that of the hidden width, else the `wide` one, else that of the values.

    There is one such axis, only sums over it lead out of it, and no tile has it under another name: a residual adds keys to values.
    """
    nodes = nodes_of(program)
    hidden = {axis for node in nodes for axis in node.axes if axis.startswith(HIDDEN)} or {wide or VALUES}
    axis = min(hidden)
    sums = [node for node in nodes if is_sum_over(axis, node)]
    summed = all(isinstance(node, Contract) or (isinstance(node, Reduce) and node.kind == "sum") for node in sums)
    renamed = any(isinstance(node, Rename) and axis in (node.old, node.new) for node in nodes)
    return axis if len(hidden) == 1 and summed and not renamed and any(axis in node.axes for node in nodes) else ""
