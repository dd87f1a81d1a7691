"""Wait: the part of a program of a tile that is left where the state of a chunk waits for its end: outputs, and sums of surprises."""

from __future__ import annotations

from miras_compiler.ir.build import add, constant, entrywise, state_tile
from miras_compiler.ir.nodes import Map, Node, State
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import labels_in_use, leaves_of, rewrite
from miras_compiler.passes.enter import START

ENTERED = "_entered"  # the suffix of a state that entered the chunk, which none of its tiles changes
PENDING, MOMENTUM = "_pending", "_momentum"


def wait_for_end(program: Program) -> Program:
    """The outputs of tokens, and −Σ η g, which a chunk's end adds to the momentum; `<name>_entered` are the weights that entered it.

    The decays of weights and momentum over a whole chunk are two numbers, for which a tile is not needed.
    """

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, State) and node.name.endswith(START):
            return state_tile(node.name.removesuffix(START) + ENTERED, node.axes)
        if isinstance(node, State) and node.name.endswith(MOMENTUM):
            return constant(0, node.axes)
        if isinstance(node, Map):
            return entrywise(node.expr, {f"x{index}": arg for index, arg in enumerate(args)}, node.axes)
        return type(node)(node.axes, args, node.fields)

    kept = {name: node for name, node in program.outputs.items() if name == "o" or name.endswith(PENDING)}
    return rewrite(Program(program.name, kept, labels_in_use(kept, program.labels)), rule)


def moving_states(program: Program) -> list[str]:
    """The states that tiles of a chunk read and that none of them hands on: with any, a chunk has more than sums."""
    return [leaf.name for leaf in leaves_of(program) if isinstance(leaf, State) and not leaf.name.endswith((ENTERED, PENDING))]


def with_sums(adjoint: Program, program: Program) -> Program:
    """The adjoint with the gradients of the states that entered as sums over tiles, without those of the sums, which no tile changes."""
    entered = {f"d_{leaf.name}": leaf for leaf in leaves_of(program) if isinstance(leaf, State) and leaf.name.endswith(ENTERED)}
    outputs = {name: node for name, node in adjoint.outputs.items() if not name.endswith(PENDING)}
    outputs |= {name: add(state_tile(name, leaf.axes), adjoint.outputs[name]) for name, leaf in entered.items()}
    return Program(adjoint.name, outputs, labels_in_use(outputs, adjoint.labels), adjoint.suggested)
