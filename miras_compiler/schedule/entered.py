"""A chunk that begins with the tile: the state that the chunk started from is the state that the tile finds."""

from __future__ import annotations

from miras_compiler.ir.nodes import Label, Leaf, Node, Program, State
from miras_compiler.ir.traverse import leaves_of, rewrite
from miras_compiler.passes import run_passes

START = "_start"


def enter_chunk(program: Program) -> Program:
    """The program with `W` in place of `W_start`; the same program where it has no such leaf.

    What was a label of the leaf (or of a tile that is now another labelled one) goes.
    """
    states = {leaf.name: leaf for leaf in leaves_of(program) if isinstance(leaf, State)}
    if not any(name.endswith(START) for name in states):
        return program

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Leaf):
            return states.get(node.name.removesuffix(START), node) if node.name.endswith(START) else node
        return type(node)(node.axes, args, node.fields)

    entered = rewrite(program, rule)
    own: dict[Node, Label] = {node: label for node, label in program.labels.items() if isinstance(node, Leaf) and node in entered.labels}
    return run_passes(Program(entered.name, entered.outputs, {**entered.labels, **own}))
