"""A chunk that begins with the tile: the state that the chunk started from is the state that the tile finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from miras_compiler.ir.build import constant, is_constant, state_tile
from miras_compiler.ir.nodes import Node, Start, State
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import rewrite

START = "_start"
COUNTED = "log_beta"  # the entry that is 0 where a chunk begins; behind the last token the decays of that chunk give it


def enter_chunk(program: Program) -> Program:
    """The program, or its adjoint, with the state `W` in place of `W_start`, as a Start: kernels of a chunk that goes on tell them apart.

    Both gradients of the adjoint stay: their sum is the gradient of a state that a chunk begins with. The decay since the chunk began is a
    Start, too, of 0, and no output; its gradient is none where nothing reads it.
    """
    return _entered(program, lambda found, name: Start(found.axes, (found,), (name,)))


def begin_chunk(program: Program) -> Program:
    """The same of a tile that always begins a chunk: the state `W` itself in place of `W_start`."""
    return _entered(program, lambda found, name: found)


def _entered(program: Program, put: Callable[[Node, str], Node]) -> Program:
    """The program with `put(found, name)` for each leaf `name` of the state that entered the chunk, which is `found` where one begins."""

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, State) and node.name.endswith(START):
            return put(state_tile(node.name.removesuffix(START), node.axes), node.name)
        if isinstance(node, State) and node.name == COUNTED:
            return put(constant(0, node.axes), node.name)
        if isinstance(node, State) and node.name == f"d_{COUNTED}":
            return constant(0, node.axes)
        return type(node)(node.axes, args, node.fields)

    entered = rewrite(program, rule)
    unread = {COUNTED} | {name for name, node in entered.outputs.items() if name == f"d_{COUNTED}" and is_constant(node)}
    return replace(entered, outputs={name: node for name, node in entered.outputs.items() if name not in unread})
