"""The adjoint of a chunk program, and the roles of leaves and outputs in both directions."""

from __future__ import annotations

from dataclasses import replace

from miras_compiler.ir.nodes import MASKS, PAST, Leaf, Node, State
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import carried_leaves, leaves_of
from miras_compiler.passes.enter import COUNTED, START
from miras_compiler.schedule.kernel import Result, Role

AT = "_at"  # the suffix of the buffer that holds a state as each tile finds it
READ = "_read"  # that of the gradient which the tokens of a tile give to the state that the tile finds


def carried_states(program: Program) -> tuple[str, ...]:
    return tuple(leaf.name for leaf in carried_leaves(program))


def without_masks(adjoint: Program) -> Program:
    """Reverse mode of a chunk program, without the gradients of masks."""
    return replace(adjoint, outputs={name: node for name, node in adjoint.outputs.items() if name.removeprefix("d_") not in MASKS})


def roles_of(program: Program) -> dict[str, Role]:
    return {leaf.name: _state_role(leaf, program) if isinstance(leaf, State) else _input_role(leaf) for leaf in leaves_of(program)}


def _state_role(leaf: Leaf, program: Program) -> Role:
    return "carried" if leaf.name in program.outputs else "held"


def _input_role(leaf: Leaf) -> Role:
    if leaf.name in MASKS:
        return "mask"
    if leaf.axes[:1] == (PAST,) or (leaf.name.endswith(READ) and "c" not in leaf.axes):
        return "saved"
    return "token" if "c" in leaf.axes else "parameter"


def forward_results(program: Program) -> dict[str, Result]:
    states = set(carried_states(program))
    return {name: "carried" if name in states else "token" for name in program.outputs}


def backward_results(program: Program) -> dict[str, Result]:
    carried = set(carried_states(program))
    return {name: _backward_result(name, node, carried) for name, node in program.outputs.items()}


def _backward_result(name: str, node: Node, carried: set[str]) -> Result:
    if name in carried:
        return "carried"
    if name.removesuffix(START) in carried or name == f"d_{COUNTED}":
        return "start"
    if node.axes[:1] == (PAST,):
        return "past"
    return "token" if "c" in node.axes else "total"
