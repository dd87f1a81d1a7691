"""A tile of a deep memory in stages, so that only one block of its hidden width lives at a time.

Tiles with the hidden axis are computed in loops over its blocks, each of which sums up the inputs of the next stage; other tiles stand
between the loops. A block that two loops need is loaded or computed in both.
"""

from __future__ import annotations

import sympy as sp

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import Contract, Map, Node, Program, Reduce
from miras_compiler.ir.traverse import nodes_of, use_counts

HIDDEN = "n"


def is_hidden(node: Node) -> bool:
    return HIDDEN in node.axes


def is_sum_over_hidden(node: Node) -> bool:
    return not is_hidden(node) and any(map(is_hidden, node.args))


class Stages:
    """`stage` of a tile: the loop that can first compute it, or the loops that it has to wait for where it lacks the hidden axis."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.stage: dict[Node, int] = {}
        for node in nodes_of(program):
            self.stage[node] = max((self.stage[arg] for arg in node.args), default=0) + is_sum_over_hidden(node)
        self.chains = self._chains()
        self.loops = max(stage + is_hidden(node) for node, stage in self.stage.items())

    def _chains(self) -> dict[Node, list[tuple[Node, int]]]:
        """By the tile that they add up to, the sums with their signs that share an accumulator: all of one loop, read by nothing else."""
        uses = use_counts(self.program)
        found: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.stage:
            if is_sum_over_hidden(node):
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
        """Tiles without the hidden axis that the blocks under `roots` are computed from."""
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        stack = list(reversed(roots))
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if is_hidden(node) or node in roots:
                stack.extend(reversed(node.args))
            else:
                found[node] = None
        return sorted(found, key=list(self.stage).index)


def can_be_staged(program: Program) -> bool:
    """True if there is one hidden axis, and only sums over it lead out of it."""
    nodes = nodes_of(program)
    hidden = {axis for node in nodes for axis in node.axes if axis.startswith(HIDDEN)}
    sums = [node for node in nodes if is_sum_over_hidden(node)]
    return hidden == {HIDDEN} and all(isinstance(node, Contract) or (isinstance(node, Reduce) and node.kind == "sum") for node in sums)
