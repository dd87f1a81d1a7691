"""A chunk that begins with the tile: the state that the chunk started from is the state that the tile finds."""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.ir.build import add, state_tile
from miras_compiler.ir.nodes import Label, Leaf, Node, Program, State
from miras_compiler.ir.traverse import leaves_of, rewrite

START = "_start"


def enter_chunk(program: Program) -> Program:
    """The program, or its adjoint, with `W` in place of `W_start` and one gradient for both; the same where it has no such leaf.

    Labels of the leaf (or of a tile that is now another labelled one) go.
    """
    if not any(leaf.name.endswith(START) for leaf in leaves_of(program)):
        return program

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, State) and node.name.endswith(START):
            return state_tile(node.name.removesuffix(START), node.axes)
        return type(node)(node.axes, args, node.fields)

    entered = rewrite(program, rule)
    own: dict[Node, Label] = {node: label for node, label in program.labels.items() if isinstance(node, Leaf) and node in entered.labels}
    outputs = {name: node for name, node in entered.outputs.items() if not name.endswith(START)}
    outputs |= {name: add(node, entered.outputs[name + START]) for name, node in outputs.items() if name + START in entered.outputs}
    return replace(entered, outputs=outputs, labels={**entered.labels, **own})
