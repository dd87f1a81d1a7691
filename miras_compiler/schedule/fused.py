"""One kernel forward, one backward: each walks the tiles of a sequence and keeps the state on the chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.nodes import Input, Leaf, Node, Program, State
from miras_compiler.ir.traverse import leaves_of, rewrite
from miras_compiler.passes import run_passes
from miras_compiler.schedule.inverse import invert_triangles
from miras_compiler.schedule.kernel import Kernel, Result, Role, Schedule

AT = "_at"  # what a state is called in the buffer that holds it as each tile finds it


def build_fused(program: Program, reason: str, prefix: str = "", last: tuple[str, ...] = ()) -> Schedule:
    """The two kernels of a chunk program, called `prefix` + forward and backward; `last` are the states that give out their last start."""
    forward = run_passes(invert_triangles(program))
    carried = carried_states(program)
    adjoint = run_passes(rename_leaves(adjoint_of(program), {name: name + AT for name in carried}))
    entries = {name: name + AT for name in carried}
    first = Kernel(f"{prefix}forward", "forward", forward, forward_roles(forward), forward_results(forward), entries, last)
    behind = tuple(f"d_{name}" for name in last)
    second = Kernel(f"{prefix}backward", "reverse", adjoint, backward_roles(adjoint), backward_results(adjoint), {}, behind)
    return Schedule((first,), (second,), reason)


def carried_states(program: Program) -> tuple[str, ...]:
    return tuple(leaf.name for leaf in leaves_of(program) if isinstance(leaf, State) and leaf.name in program.outputs)


def adjoint_of(program: Program) -> Program:
    """Reverse mode of a chunk program, without the gradient of `valid`."""
    adjoint = invert_triangles(differentiate(program))
    return replace(adjoint, outputs={name: node for name, node in adjoint.outputs.items() if name != "d_valid"})


def rename_leaves(program: Program, names: Mapping[str, str]) -> Program:
    """The program with state leaves as inputs under other names; their labels stay."""

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, Leaf):
            return Input(node.axes, (), (names[node.name],)) if node.name in names else node
        return type(node)(node.axes, args, node.fields)

    return rewrite(program, rule)


def forward_roles(program: Program) -> dict[str, Role]:
    return {leaf.name: _forward_role(leaf, program) for leaf in leaves_of(program)}


def _forward_role(leaf: Leaf, program: Program) -> Role:
    if isinstance(leaf, State):
        return "carried" if leaf.name in program.outputs else "fixed"
    return _input_role(leaf)


def _input_role(leaf: Leaf) -> Role:
    if leaf.name == "valid":
        return "valid"
    return "token" if "c" in leaf.axes else "parameter"


def forward_results(program: Program) -> dict[str, Result]:
    states = set(carried_states(program))
    return {name: "carried" if name in states else "token" for name in program.outputs}


def backward_roles(program: Program) -> dict[str, Role]:
    return {leaf.name: _backward_role(leaf) for leaf in leaves_of(program)}


def _backward_role(leaf: Leaf) -> Role:
    if isinstance(leaf, State):
        return "carried" if leaf.name.startswith("d_") else "fixed"
    return "saved" if leaf.name.endswith(AT) else _input_role(leaf)


def backward_results(program: Program) -> dict[str, Result]:
    carried = set(carried_states(program))
    return {name: _backward_result(name, node, carried) for name, node in program.outputs.items()}


def _backward_result(name: str, node: Node, carried: set[str]) -> Result:
    if name in carried:
        return "carried"
    return "token" if "c" in node.axes else "total"
