"""The demand of one GPU program on a processor: the tiles that live at once in registers, and the operands in shared memory.

Both are estimates from the program alone. The compiler behind Triton orders, fuses and lays out in its own way: of the 15 kernels of
titans_lmm and yaad with a hidden width of 64, compiled for an H100, all took 1.0 to 2.3 times the registers of the tiles that live at once,
1.8 times in the geometric mean, spilled registers counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from miras_compiler.ir.nodes import Contract, Decayed, Leaf, Node
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.passes.invert import TriangularInverse, is_solve
from miras_compiler.schedule.kernel import Kernel
from miras_compiler.schedule.price import is_free
from miras_compiler.schedule.tile import padded

WITHIN, OPERANDS = 3, 4  # tiles that live while a product under decays is computed, and those of them in shared memory
SINGLE, HALF = 4, 2  # bytes of a number in registers, and as an operand of a product
OVERHEAD = (1.2, 2.3)
REGISTER_FILE = 256 * 1024  # bytes of registers of one processor of an H100
SHARED = 227 * 1024  # and of shared memory that one program may have


class Pressure(NamedTuple):
    """Bytes: the tiles that live at once, the registers that this takes from … to, the operands of products that live at once."""

    live: int
    registers: tuple[int, int]
    shared: int


def estimate_pressure(kernel: Kernel, lengths: Mapping[str, int], blocks: Mapping[str, int] | None = None) -> Pressure:
    """The needs of one program, for the lengths of the axes.

    `blocks` are the parts that it holds at once of axes that are split over programs or taken block after block; carried tiles that have
    one of the latter stay in memory.
    """
    tiles = _Tiles(kernel, lengths, blocks or {})
    order = tiles.order()
    live = tiles.live(order)
    return Pressure(live, (math.ceil(OVERHEAD[0] * live), math.ceil(OVERHEAD[1] * live)), tiles.shared(order))


class _Tiles:
    """The computed tiles of a kernel and who reads them; a renaming or a broadcast is the tile behind it, a constant is nothing.

    Leaves are loaded by every reader again, but for the carried ones, which are there from the start.
    """

    def __init__(self, kernel: Kernel, lengths: Mapping[str, int], blocks: Mapping[str, int]) -> None:
        self.kernel = kernel
        self.lengths = {axis: padded(length) for axis, length in lengths.items()} | dict(blocks)
        self.nodes = [node for node in nodes_of(kernel.program) if not is_free(node) and not isinstance(node, Leaf)]
        self.reads = {node: dict.fromkeys(base for arg in node.args for base in behind(arg)) for node in self.nodes}
        self.readers: dict[Node, list[Node]] = {}
        for node, read in self.reads.items():
            for arg in read:
                self.readers.setdefault(arg, []).append(node)
        carried = [leaf for leaf in self.readers if isinstance(leaf, Leaf) and kernel.roles[leaf.name] == "carried"]
        summed = {axis for node in self.nodes if isinstance(node, Contract) for axis in node.over}
        in_memory = {leaf.name for leaf in carried if any(axis in blocks and axis in summed for axis in leaf.axes)}
        self.first = {leaf for leaf in carried if leaf.name not in in_memory}
        self.kept = {base for name in kernel.outputs("carried") if name not in in_memory for base in behind(kernel.program.outputs[name])}

    def registers(self, node: Node) -> int:
        """Bytes in registers: a loaded tile that products alone read goes to shared memory at once."""
        loaded = isinstance(node, Leaf) and self.kernel.roles[node.name] in ("token", "saved")
        if loaded and all(isinstance(reader, Contract) for reader in self.readers[node]):
            return 0
        return SINGLE * self.size(node)

    def operand(self, node: Node) -> int:
        """Bytes in shared memory of the operands of products."""
        solves = (isinstance(reader, Contract) and is_solve(reader, self.kernel.inverses) for reader in self.readers[node])
        return (SINGLE if any(solves) else HALF) * self.size(node)

    def size(self, node: Node) -> int:
        return math.prod(self.lengths[axis] for axis in node.axes)

    def order(self) -> list[Node]:
        """The list schedule: depth first from the outputs, and of several arguments first that which frees most when it is done.

        That is the rule of Sethi and Ullman, which is optimal where nothing is read twice.
        """
        need: dict[Node, int] = {}

        def by_room(node: Node) -> list[Node]:
            return sorted(self.reads.get(node, ()), key=lambda arg: need[arg] - self.registers(arg), reverse=True)

        for node in (*(arg for arg in self.readers if isinstance(arg, Leaf)), *self.nodes):
            waiting = most = 0
            for arg in by_room(node):
                most = max(most, waiting + need[arg])
                waiting += self.registers(arg)
            need[node] = max(most, self.registers(node))
        order: dict[Node, None] = {}
        stack = [(node, False) for node in reversed(self.nodes) if node not in self.readers]
        while stack:
            node, is_ready = stack.pop()
            if node in order or isinstance(node, Leaf):
                continue
            if is_ready:
                order[node] = None
            else:
                stack.append((node, True))
                stack.extend((arg, False) for arg in reversed(by_room(node)))
        return list(order)

    def live(self, order: list[Node]) -> int:
        """Most bytes of registers: before a tile is computed, and after, when those that it was the last to read are gone."""
        step = {node: number for number, node in enumerate(order)}
        spans = []
        for tile in {**step, **self.readers}:
            read = [step[reader] for reader in self.readers.get(tile, ())]
            if isinstance(tile, Leaf) and tile not in self.first:  # loaded again for every reader
                spans += [(2 * at, 2 * at + 1, self.registers(tile)) for at in read]
                continue
            start = -1 if tile in self.first else 2 * step[tile] + 1
            end = 2 * len(order) + 1 if tile in self.kept else 2 * max(read) + 1 if read else start + 1
            spans.append((start, end, self.registers(tile)))
        spans += [(2 * at, 2 * at + 1, WITHIN * self.registers(node)) for node, at in step.items() if isinstance(node, Decayed)]
        return peak(spans)

    def shared(self, order: list[Node]) -> int:
        """Most bytes of operands: from the first product that reads a tile to the last; an inverse multiplies two of its own size."""
        step = {node: number for number, node in enumerate(order) if isinstance(node, Contract)}
        read = {tile: [step[reader] for reader in readers if reader in step] for tile, readers in self.readers.items()}
        spans = [(min(steps), max(steps) + 1, self.operand(tile)) for tile, steps in read.items() if steps]
        inverses = [(number, node) for number, node in enumerate(order) if isinstance(node, TriangularInverse)]
        spans += [(number, number + 1, 2 * SINGLE * self.size(node)) for number, node in inverses]
        decays = [(number, node.factors["logs"]) for number, node in enumerate(order) if isinstance(node, Decayed)]
        return peak([*spans, *((number, number + 1, OPERANDS * HALF * self.size(logs)) for number, logs in decays)])


def peak(spans: Iterable[tuple[int, int, int]]) -> int:
    """The largest sum over spans (start, end, size) that hold one point together, each without its end."""
    changes = sorted(change for start, end, size in spans for change in ((start, size), (end, -size)))
    return max(accumulate((size for _, size in changes), initial=0))


def behind(node: Node) -> tuple[Node, ...]:
    """The tile that renamings and broadcasts show; none for a constant."""
    while is_free(node):
        if not node.args:
            return ()
        (node,) = node.args
    return (node,)
