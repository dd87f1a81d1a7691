"""Kernels that take an axis block after block: the hidden width, or the values of a memory without one.

Carried tiles that have the axis do not fit into the registers of one program. They stay where the result will be, in memory that the caches
of the GPU hold, and every loop over the blocks loads the block that it needs; the last loop of a tile stores it again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from miras_compiler.emit.triton.blocks import blocked_axis
from miras_compiler.emit.triton.body import bytes_of, resolve, source
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.gather import gather_sums
from miras_compiler.emit.triton.kernel import Carried, KernelPrinter
from miras_compiler.emit.triton.layout import block, place
from miras_compiler.emit.triton.memory import OF_SEQUENCE, TileMemory, last_name, result_name, shape
from miras_compiler.emit.triton.stages import VALUES, Stages
from miras_compiler.emit.triton.statement import Reading, make_statement
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import Contract, Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.schedule.kernel import Kernel

BARRIER = "tl.debug_barrier()"
WIDE = "_wide"


def make_printers(kernel: Kernel, printer: TritonPrinter) -> list[KernelPrinter]:
    """The printers for a kernel.

    One in stages where it has an axis that can be taken block after block, and one more before that for a width of no more than a
    block, which has no need of stages.
    """
    if not blocked_axis(kernel):
        return [KernelPrinter(kernel, printer)]
    staged = StagedPrinter(kernel, printer)
    staged.suffix = WIDE
    whole = KernelPrinter(kernel, printer)
    if whole.walks:
        whole.body.tiles.apart = staged.body.tiles.apart = chained(kernel.program)
    return [whole, staged]


def chained(program: Program) -> set[Node]:
    """The products that other products are made of."""
    found: set[Node] = set()
    for node in reversed(nodes_of(program)):
        if isinstance(node, Contract) or node in found:
            found.update(node.args)
    return {node for node in found if isinstance(node, Contract)}


@dataclass
class StagedPrinter(KernelPrinter):
    """Prints one kernel whose program has an axis that it takes block after block."""

    def __post_init__(self) -> None:
        self.blocked = blocked_axis(self.kernel)
        if self.is_lean:
            self.kernel = replace(self.kernel, program=gather_sums(self.kernel.program, self.blocked))
        super().__post_init__()
        self.stages = Stages(self.program, self.blocked)

    def has_axis(self, node: Node) -> bool:
        """Returns true where blocks of the axis are parts of a tile."""
        return self.blocked in node.axes

    def emit_loop(self, depth: int) -> None:
        """The head of a loop over the blocks, and the counter along the axis."""
        axis = self.blocked
        self.emit(f"for b in tl.range(tl.cdiv({width(axis)}, {block(axis)}), disable_licm=True):", depth=depth)
        self.emit(f"{place(axis)} = b * {block(axis)} + tl.arange(0, {block(axis)})", depth=depth + 1)

    def make_memory(self) -> TileMemory:
        names = self.kernel.leaves("carried")
        return TileMemory(self.kernel, frozenset(name for name in names if self.has_axis(self.found[name])))

    def is_loaded_in_tile(self, leaf: Leaf) -> bool:
        return self.has_axis(leaf) or super().is_loaded_in_tile(leaf)

    def load_once(self) -> None:
        super().load_once()
        states = [self.found[name] for name in sorted(self.memory.in_place)]
        if not states:
            return
        self.emit_loop(0)
        for leaf in states:
            name = leaf.name
            self.emit(f"{name} = {self.memory.load(name, leaf, OF_SEQUENCE)}", depth=1)
            has_last = name in self.kernel.last
            if has_last:
                self.emit(f"if {self.no_tiles}:", depth=1)
            if has_last and self.kernel.walk == "forward":
                self.emit(self.memory.store(last_name(name), leaf.axes, name, OF_SEQUENCE), depth=2)
            elif has_last:
                self.emit(f"{name} += {self.memory.load(last_name(name), leaf, OF_SEQUENCE)}", depth=2)
            self.emit(self.memory.store(result_name(name, self.kernel), leaf.axes, name, OF_SEQUENCE), depth=1)
        self.emit(BARRIER)

    def statements(self, depth: int) -> list[Carried]:
        carried: list[Carried] = []
        entered: list[Node] = []
        for loop in range(self.stages.loops + 1):
            outputs = [name for name, node in self.program.outputs.items() if self.home(name, node) == loop]
            in_blocks = [name for name in outputs if self.has_axis(self.program.outputs[name])]
            sums = self.stages.sums(loop)
            blocks = [*(term for node in sums for term, _ in self.stages.chains[node]), *(self.program.outputs[name] for name in in_blocks)]
            entering = self.stages.entering(blocks)
            entered += map(source, entering)
            for node in entering:
                if not self.is_loaded_tile(node):
                    self.body.name_now(node)
            for name in outputs:
                if name not in in_blocks:
                    carried += self.output(name)
            kept = {name for (node, _), name in self.body.names.items() if node in entered}
            kept |= {each.source for each in carried}
            self.flush(depth, kept, self.held() | (self.summed() if self.is_lean else {}))
            self.body.forget(self.is_loaded_tile)
            if blocks:
                needed = {resolve(node, node.axes)[0] for node in entering}
                self.body.forget(lambda node, needed=needed: self.is_computed_again(node) and node not in needed)  # type: ignore[misc]
                self.loop(sums, in_blocks, depth)
                self.body.forget(lambda node: self.is_loaded_tile(node) or self.is_computed_again(node))
        return carried

    def summed(self) -> dict[str, int]:
        """The bytes of the sums of loops."""
        return {name: bytes_of(node, False) for (node, _), name in self.body.names.items() if node in self.body.sums}

    def is_computed_again(self, node: Node) -> bool:
        """Tiles that no loop has to come before: to keep them through the loop would take registers from it."""
        loaded_once = isinstance(node, Leaf) and not self.is_loaded_in_tile(node)
        return self.is_lean and self.stages.stage[node] == 0 and not loaded_once

    @property
    def is_lean(self) -> bool:
        """Returns true where the sums of loops take so many registers that nothing else is kept beside them.

        With the hidden width in blocks, kernels were measured with the rest kept.
        """
        return self.blocked == VALUES

    def is_loaded_tile(self, node: Node) -> bool:
        """Tiles that are loaded again within a loop and behind it: to keep them would take registers from it."""
        return isinstance(node, Leaf) and len(node.axes) == 2 and self.is_loaded_in_tile(node)

    def home(self, name: str, node: Node) -> int:
        """The loop that stores an output, or the one that it is stored before."""
        is_state = self.kernel.results[name] in ("carried", "start")
        return self.stages.loops - 1 if self.has_axis(node) and is_state else self.stages.stage[node]

    def loop(self, sums: list[Node], outputs: list[str], depth: int) -> None:
        """A loop over the blocks."""
        body = self.body
        accumulators = {node: body.named(node, body.word(node)) for node in sums}
        for node, name in accumulators.items():
            self.emit(f"{name} = tl.zeros({shape(node.axes)}, tl.float32){body.comment(node)}", depth=depth)
        self.emit_loop(depth)
        for node, name in accumulators.items():
            for term, sign in self.stages.chains[node]:
                with body.recorder.recording() as reading:
                    code = body.tiles.code(term, term.axes).text
                body.statements.append(make_statement(reading, f"{name} {'+' if sign > 0 else '-'}= {code}"))
        for output in outputs:
            if self.kernel.results[output] == "carried":
                self.update(output)
            else:
                self.output(output)
        self.flush(depth + 1)
        body.forget(self.has_axis)
        if any(self.kernel.results[output] == "carried" for output in outputs):
            self.emit(BARRIER, depth=depth)
        for node, name in accumulators.items():
            body.hold(node, name)

    def update(self, name: str) -> None:
        """A block of a carried tile: saved as it was, then as it is for the next tile of tokens."""
        body, kernel, leaf, node = self.body, self.kernel, self.found[name], self.program.outputs[name]
        old = body.operand(leaf, leaf.axes).text
        if name in kernel.entries:
            code = self.memory.store(kernel.entries[name], leaf.axes, old, self.memory.at_tile(kernel.entries[name]))
            body.statements.append(make_statement(Reading({old}), "if SAVE:", f"    {code}"))
        if name in kernel.last and kernel.walk == "forward":
            code = self.memory.store(last_name(name), leaf.axes, old, OF_SEQUENCE)
            body.statements.append(make_statement(Reading({old}), "if i == tiles - 1:", f"    {code}"))
        new = self.next_state(name)
        lines = [BARRIER]
        if name in kernel.last and kernel.walk == "reverse":
            lines = ["if i == tiles - 1:", f"    {new} += {self.memory.load(last_name(name), leaf, OF_SEQUENCE)}", BARRIER]
        body.statements.append(make_statement(Reading({new}), *lines, self.memory.store_output(name, node, new)))
