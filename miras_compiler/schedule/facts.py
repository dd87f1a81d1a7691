"""Facts about each kernel of a schedule: the bytes that it loads and stores, the tiles that it computes again, its registers and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from miras_compiler.ir.nodes import Contract, Decayed, Leaf, Node, Start
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.passes.brackets import Brackets
from miras_compiler.passes.invert import TriangularInverse
from miras_compiler.schedule.kernel import Kernel, Schedule, Walk
from miras_compiler.schedule.pressure import Pressure, estimate_pressure

SINGLE, HALF = 4, 2  # bytes of a number: gates, sums and wide buffers; rows of tokens and narrow buffers
HALVED = ("q", "k", "v", "o")


@dataclass(frozen=True)
class KernelFacts:
    """Bytes are those of one tile of tokens of one head; `again` are named tiles of two axes that an earlier kernel has computed too.

    `moved` counts everything that is read and written once per tile: rows of tokens, buffers, shares of sums. `blocks` are the parts of
    longer axes that one GPU program holds at once. A kernel that `substitutes` computes the surprises of a tile one after another.
    """

    name: str
    walk: Walk
    products: int
    loads: Mapping[str, int]
    saves: Mapping[str, int]
    gives: tuple[str, ...]
    again: tuple[str, ...]
    moved: int
    blocks: Mapping[str, int]
    pressure: Pressure
    substitutes: bool


def kernel_facts(
    schedule: Schedule, lengths: Mapping[str, int], blocks: Callable[[Kernel, Mapping[str, int]], Mapping[str, int]] = lambda *_: {}
) -> list[KernelFacts]:
    """The facts of every kernel, in the order in which they run, for the lengths of the axes; rows of tokens are 16-bit numbers.

    `blocks` gives, for a kernel, the parts of longer axes that one GPU program holds at once.
    """
    facts = []
    whole: dict[str, Node] = {}  # the contents of the buffers, in terms of the inputs
    held: dict[str, int] = {}
    computed: set[Node] = set()
    for kernel in schedule.kernels:
        leaves = {leaf.name: leaf for leaf in leaves_of(kernel.program)}
        written = expanded(kernel.program, whole)
        again = [node for node in written if written[node] in computed and not isinstance(node, Leaf | Start)]
        computed |= {node for node in written.values() if not isinstance(node, Leaf)}
        whole |= {name: written[kernel.program.outputs[name]] for name in kernel.outputs("saved")}
        whole |= {buffer: written[leaves[state]] for state, buffer in kernel.entries.items()}
        saved = {name: kernel.program.outputs[name].axes for name in kernel.outputs("saved")}
        saved |= {buffer: leaves[state].axes for state, buffer in kernel.entries.items()}
        saves = {name: (HALF if name in kernel.narrow else SINGLE) * size(axes, lengths) for name, axes in saved.items()}
        held |= saves
        given = {name: SINGLE * size(leaves[name].axes, lengths) for name in kernel.leaves("saved") if name not in held}
        loads = {name: held[name] for name in kernel.leaves("saved") if name in held} | given
        held_at_once = blocks(kernel, lengths)
        labels = [kernel.program.labels[node] for node in again if node in kernel.program.labels and len(node.axes) > 1]
        facts.append(
            KernelFacts(
                kernel.name,
                kernel.walk,
                sum(isinstance(node, Contract | Decayed | TriangularInverse) for node in nodes_of(kernel.program)),
                loads,
                saves,
                kernel.outputs("token", "carried", "start", "past", "total"),
                tuple(label.name for label in labels if not label.automatic),
                sum(loads.values()) + sum(saves.values()) + row_bytes(kernel, lengths),
                held_at_once,
                estimate_pressure(kernel, lengths, held_at_once),
                any(isinstance(node, Brackets) for node in nodes_of(kernel.program)),
            )
        )
    return facts


def expanded(program: Program, whole: Mapping[str, Node]) -> dict[Node, Node]:
    """Every tile of a kernel as it is computed from the inputs alone: two kernels compute the same where these are the same."""
    written: dict[Node, Node] = {}
    for node in nodes_of(program):
        if isinstance(node, Leaf):
            written[node] = whole.get(node.name, node)
        else:
            written[node] = type(node)(node.axes, tuple(written[arg] for arg in node.args), node.fields)
    return written


def size(axes: Iterable[str], lengths: Mapping[str, int]) -> int:
    return math.prod(lengths[axis] for axis in axes)


def row_bytes(kernel: Kernel, lengths: Mapping[str, int]) -> int:
    """Rows of tokens that are read and written, and shares of sums."""
    read = [leaf for leaf in leaves_of(kernel.program) if kernel.roles[leaf.name] == "token"]
    rows = [(leaf.name, leaf.axes) for leaf in read]
    rows += [(name, kernel.program.outputs[name].axes) for name in kernel.outputs("token")]
    total = sum((HALF if name.removeprefix("d_") in HALVED else SINGLE) * size(axes, lengths) for name, axes in rows)
    if kernel.walk == "each":
        total += sum(SINGLE * size(kernel.program.outputs[name].axes, lengths) for name in kernel.outputs("total"))
    return total
