"""A chunk that begins with the tile: the state that the chunk started from is the state that the tile finds."""

from __future__ import annotations

from miras_compiler.ir.build import state_tile
from miras_compiler.ir.nodes import Node, Program, Start, State
from miras_compiler.ir.traverse import rewrite

START = "_start"


def enter_chunk(program: Program) -> Program:
    """The program, or its adjoint, with the state `W` in place of `W_start`, as a Start: kernels of a chunk that goes on tell them apart.

    Both gradients of the adjoint stay: their sum is the gradient of a state that a chunk begins with.
    """

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, State) and node.name.endswith(START):
            return Start(node.axes, (state_tile(node.name.removesuffix(START), node.axes),), (node.name,))
        return type(node)(node.axes, args, node.fields)

    return rewrite(program, rule)
