"""Kernels that take an axis block after block: the hidden width, or the values of a memory without one.

Carried tiles that have the axis do not fit into the registers of one program. They stay where the result will be, in memory that the caches
of the GPU hold, and every loop over the blocks loads the block that it needs; the last loop of a tile stores it again. Where one block
holds all of the axis, they stay in registers: the loops have one turn, and Triton drops their heads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from miras_compiler.emit.triton.blocks import blocked_axis
from miras_compiler.emit.triton.body import bytes_of, masked, resolve, source
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.gather import gather_sums
from miras_compiler.emit.triton.head import INDENT
from miras_compiler.emit.triton.kernel import Carried, KernelPrinter
from miras_compiler.emit.triton.layout import block, place
from miras_compiler.emit.triton.memory import OF_SEQUENCE, TileMemory, last_name, result_name, shape
from miras_compiler.emit.triton.stages import HIDDEN, VALUES, Stages
from miras_compiler.emit.triton.statement import Reading, make_statement
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import Axes, Contract, Leaf, Node, Start
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.schedule.kernel import Kernel

BARRIER = "tl.debug_barrier()"
WIDE = "_wide"
Tile = tuple[Node, Axes]  # and its orientation


def make_printers(kernel: Kernel, printer: TritonPrinter) -> list[KernelPrinter]:
    """The printers for a kernel.

    One in stages where it has an axis that can be taken block after block. A linear memory has one more before that, for a width of no more
    than a block: its statements need no stages, which cost registers.
    """
    axis = blocked_axis(kernel)
    if not axis:
        return [KernelPrinter(kernel, printer)]
    staged = StagedPrinter(kernel, printer)
    if staged.walks:
        staged.body.tiles.apart = chained(kernel.program)
    if staged.serves_one_block:
        return [staged]
    staged.suffix = WIDE
    return [KernelPrinter(kernel, printer), staged]


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
        self.owners: dict[str, set[Tile]] = {}  # the tiles that variables have been so far
        self.begins: dict[Tile, tuple[int, int]] = {}  # the line and depth before the loop that first computes a tile with the axis
        self.kept: dict[Tile, str] = {}  # the variables that later loops find where one block holds all of the axis

    def has_axis(self, node: Node) -> bool:
        """Returns true where blocks of the axis are parts of a tile."""
        return self.blocked in node.axes

    @property
    def serves_one_block(self) -> bool:
        """Returns true where no other kernel is printed for a width of no more than a block."""
        return self.blocked.startswith(HIDDEN)

    @property
    def several(self) -> str:
        """The test for an axis of more than one block, whose carried tiles stay in memory."""
        return f"{width(self.blocked)} > {block(self.blocked)}"

    @property
    def single(self) -> str:
        """The test for an axis of one block, whose carried tiles stay in registers."""
        return f"{width(self.blocked)} <= {block(self.blocked)}"

    @property
    def states(self) -> list[Leaf]:
        """The carried tiles that have the axis."""
        return [self.found[name] for name in sorted(self.memory.in_place)]

    @property
    def state_bytes(self) -> int:
        return sum(bytes_of(leaf, False) for leaf in self.states)

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
        if not self.states:
            return
        self.emit_loop(0)
        for leaf in self.states:
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
        self.emit(BARRIER, f"if {self.single}:  # one block: its tiles stay in registers")
        self.emit(f"{place(self.blocked)} = tl.arange(0, {block(self.blocked)})", depth=1)
        for leaf in self.states:
            self.emit(f"{self.program.label(leaf)} = {self.memory.load_leaf(leaf)}", depth=1)

    def load_in_tile(self, leaf: Leaf | Start) -> str:
        code = super().load_in_tile(leaf)
        return f"{code} if {self.several} else {self.program.label(leaf)}" if leaf in self.states else code

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
        self.declare_kept()
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
        body, begin = self.body, len(self.lines)
        accumulators = {node: body.named(node, body.word(node)) for node in sums}
        for node, name in accumulators.items():
            self.emit(f"{name} = tl.zeros({shape(node.axes)}, tl.float32){body.comment(node)}", depth=depth)
        self.emit_loop(depth)
        carried: dict[str, str] = {}
        for node, name in accumulators.items():
            for term, sign in self.stages.chains[node]:
                with body.recorder.recording() as reading:
                    code = body.tiles.code(term, term.axes).text
                body.statements.append(make_statement(reading, f"{name} {'+' if sign > 0 else '-'}= {code}"))
        for output in outputs:
            if self.kernel.results[output] == "carried":
                carried[self.program.label(self.found[output])] = self.update(output)
            else:
                self.output(output)
        self.keep(begin, depth)
        self.flush(depth + 1)
        body.forget(self.has_axis)
        if carried:
            self.emit(f"if {self.single}:", depth=depth + 1)
            self.emit(*(f"{name} = {code}" for name, code in carried.items()), depth=depth + 2)
            self.emit(f"if {self.several}:", f"{INDENT}{BARRIER}", depth=depth)
        for node, name in accumulators.items():
            body.hold(node, name)

    def keep(self, begin: int, depth: int) -> None:
        """Has a loop whose head is dropped find the tiles that loops before it have computed, where it would compute them again.

        `begin` is the line before the loop.
        """
        body = self.body
        if not self.serves_one_block:
            return
        found = {name: tile for tile, name in body.names.items() if self.has_axis(tile[0]) and not isinstance(tile[0], Leaf | Start)}
        again = {name for name, tile in found.items() if tile in self.begins and self.owners.get(name) == {tile}}
        needed = {name for statement in body.statements if statement.name not in again for name in statement.reads}
        for number, statement in enumerate(body.statements):
            if statement.name in again & needed:
                self.kept[found[statement.name]] = statement.name
                text = (f"if {self.several}:", *(f"{INDENT}{line}" for line in statement.text))
                body.statements[number] = replace(statement, text=text)
        for tile in found.values():
            self.begins.setdefault(tile, (begin, depth))

    def declare_kept(self) -> None:
        """Declares the kept tiles before the loops that compute them: Triton forgets variables of a loop behind it."""
        lines: dict[int, list[str]] = {}
        for tile, name in self.kept.items():
            begin, depth = self.begins[tile]
            kind = "DOT" if tile[0] in self.body.rounded else "tl.float32"
            found = lines.setdefault(begin, [f"{INDENT * depth}if {self.single}:  # later loops find these"])
            found.append(f"{INDENT * (depth + 1)}{name} = tl.zeros({shape(tile[1])}, {kind})")
        for begin in sorted(lines, reverse=True):
            self.lines[begin:begin] = lines[begin]

    def flush(self, depth: int, kept: Collection[str] = (), held: Mapping[str, int] | None = None) -> None:
        super().flush(depth, kept, held)
        for tile, name in self.body.names.items():
            self.owners.setdefault(name, set()).add(tile)

    def update(self, name: str) -> str:
        """A block of a carried tile: saved as it was, then as it is for the next tile of tokens; returns the code of the latter."""
        body, kernel, leaf, node = self.body, self.kernel, self.found[name], self.program.outputs[name]
        old = body.operand(leaf, leaf.axes).text
        if name in kernel.entries:
            code = self.memory.store(kernel.entries[name], leaf.axes, old, self.memory.at_tile(kernel.entries[name]))
            body.statements.append(make_statement(Reading({old}), "if SAVE:", f"{INDENT}{code}"))
        if name in kernel.last and kernel.walk == "forward":
            code = self.memory.store(last_name(name), leaf.axes, old, OF_SEQUENCE)
            body.statements.append(make_statement(Reading({old}), "if i == tiles - 1:", f"{INDENT}{code}"))
        new = self.next_state(name)
        lines = [f"if {self.several}:", f"{INDENT}{BARRIER}", f"{INDENT}{self.memory.store_output(name, node, new)}"]
        if name in kernel.last and kernel.walk == "reverse":
            lines = ["if i == tiles - 1:", f"{INDENT}{new} += {self.memory.load(last_name(name), leaf, OF_SEQUENCE)}", *lines]
        body.statements.append(make_statement(Reading({new}), *lines))
        return masked(body, [node, *self.start_parts(name)], new)

    def epilogue(self) -> None:
        super().epilogue()
        if self.states:
            self.emit(f"if {self.single}:")
        for leaf in self.states:
            name = result_name(leaf.name, self.kernel)
            self.emit(self.memory.store(name, leaf.axes, self.program.label(leaf), OF_SEQUENCE), depth=1)
