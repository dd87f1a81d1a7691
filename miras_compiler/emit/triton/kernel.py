"""A kernel of a schedule as a Triton function: loads, the statements of a tile, stores, and the walk over the tiles of a sequence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from miras_compiler.emit.triton.blocks import split_axis
from miras_compiler.emit.triton.body import RESUMED, BodyPrinter, bytes_of, masked
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.head import INDENT, describe, function_head
from miras_compiler.emit.triton.layout import block, place
from miras_compiler.emit.triton.memory import OF_SEQUENCE, ZERO, TileMemory, last_name, result_name
from miras_compiler.emit.triton.order import ROOM, around_long, arrange, with_early_loads
from miras_compiler.emit.triton.reserved import RESERVED
from miras_compiler.emit.triton.rows import SubstitutionPrinter, brackets_of, rows_name
from miras_compiler.emit.triton.statement import Reading, Statement, make_statement
from miras_compiler.emit.triton.steps import ordered, with_headings
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import TOKEN_AXES, Decayed, Leaf, Node, Start
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.passes.brackets import Brackets
from miras_compiler.passes.enter import START
from miras_compiler.passes.invert import TriangularInverse
from miras_compiler.schedule.kernel import Kernel


class Carried(NamedTuple):
    """The variable of a carried tile, the variable of its next value, and the code of that."""

    target: str
    source: str
    code: str


@dataclass
class KernelPrinter:
    """Prints one kernel; `split` is an axis of which every program does one block, where nothing is summed over it."""

    kernel: Kernel
    printer: TritonPrinter
    split: str = field(init=False, default="")
    blocked: str = field(init=False, default="")  # an axis whose blocks a program takes one after another
    suffix: str = field(init=False, default="")  # of the function's name
    peak: int = field(init=False, default=0)  # bytes of the tiles that live at once, once the function is printed
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.program = self.kernel.program
        self.split = split_axis(self.kernel)
        self.found = {leaf.name: leaf for leaf in leaves_of(self.program)}
        self.axes = sorted({axis for node in nodes_of(self.program) for axis in node.axes if axis not in TOKEN_AXES})
        taken = RESERVED | {place(a) for a in self.axes} | {width(a) for a in self.axes} | {block(a) for a in self.axes}
        self.memory = self.make_memory()
        self.body = BodyPrinter(
            self.program, self.printer, self.load_in_tile, self.memory.is_narrow, taken, self.kernel.inverses, self.substitute
        )

    def make_memory(self) -> TileMemory:
        return TileMemory(self.kernel)

    def substitute(self, node: Brackets, right: str) -> tuple[list[str], str]:
        """The statements that compute brackets in their buffer, and the load of them."""
        rows = SubstitutionPrinter(self.kernel, self.memory, self.printer, self.split)
        return rows.lines(node, right), rows.loaded(node)

    @property
    def walks(self) -> bool:
        return self.kernel.walk != "each"

    @property
    def state_bytes(self) -> int:
        """The bytes of the carried tiles that stay in registers where one block holds all of an axis, and else in memory."""
        return 0

    @property
    def has_tokens(self) -> bool:
        """True if rows of tokens are read or written."""
        return bool({"token", "mask"} & {*self.kernel.roles.values(), *self.kernel.results.values()})

    @property
    def has_borders(self) -> bool:
        """True if the kernel takes account of where a sequence begins and ends: in rows of tokens, and where it solves row by row."""
        return self.has_tokens or bool(brackets_of(self.kernel))

    @staticmethod
    def arguments_of(kernel: Kernel) -> tuple[str, ...]:
        """The tensors, in the order of the function's parameters."""
        leaves = [name for name, role in kernel.roles.items() if role != "mask"]
        results = [result_name(name, kernel) for name in kernel.results]
        rows = [rows_name(node, kernel) for node in brackets_of(kernel)]
        return (*leaves, *kernel.starts, *results, *kernel.entries.values(), *(last_name(name) for name in kernel.last), *rows)

    @property
    def widths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(width(axis) for axis in self.axes))

    def text(self) -> str:
        """The function."""
        head = function_head(f"{self.kernel.name}{self.suffix}", self.arguments_of(self.kernel), self.widths)
        self.prologue()
        self.load_once()
        self.tile()
        self.epilogue()
        return "\n".join([*head, *(f"{INDENT}{line}" if line else "" for line in self.lines)]).rstrip()

    def emit(self, *lines: str, depth: int = 0) -> None:
        self.lines += [f"{INDENT * depth}{line}" if line else "" for line in lines]

    def prologue(self) -> None:
        """The sequence, the head and the tiles of a program; counters and masks."""
        self.emit(f'"""{describe(self.kernel)}"""')
        if self.walks:
            self.emit("n, h = (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H")
        else:
            self.emit("index, h = low + (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H")
            self.emit("n = sequence_of(index, cu_ptr, members, C, GRID, PACKED)")
        found = "first, end, base" if self.has_borders else "_first, _end, _base"
        self.emit(f"{found}, tiles, slot, step = span(n, position_ptr, cu_ptr, T, members, C, GRID, PACKED)")
        if not self.walks:
            self.emit("i = (index - slot) // step", "if i >= tiles:", f"{INDENT}return")
            self.number_own()
        if self.has_tokens or any(TOKEN_AXES & set(node.axes) for node in nodes_of(self.program)):
            self.emit("r = tl.arange(0, BC)")
        for axis in self.axes:
            if axis != self.blocked:
                start = f"tl.program_id(1) * {block(axis)} + " if axis == self.split else ""
                self.emit(f"{place(axis)} = {start}tl.arange(0, {block(axis)})")
        if any(isinstance(node, TriangularInverse | Decayed) for node in nodes_of(self.program)):
            self.emit("LEVELS: tl.constexpr = BC.bit_length() - 1")
        used = {(str(type(node).__name__), node.fields[2]) for node in nodes_of(self.program) if type(node).__name__ == "Mask"}
        if ("Mask", 0) in used:
            self.emit("causal = r[:, None] >= r[None, :]")
        if ("Mask", 1) in used:
            self.emit("strict = r[:, None] > r[None, :]")

    def load_once(self) -> None:
        """The tiles that are loaded once, or start a sum."""
        for name in self.kernel.leaves("parameter", "carried"):
            if not self.is_loaded_in_tile(self.found[name]):
                leaf = self.found[name]
                self.emit(f"{self.body.leaf(leaf)} = {self.memory.load_leaf(leaf)}")
        last = self.last_here()
        if last:
            self.emit(f"if {self.no_tiles}:")
            (self.store_last if self.kernel.walk == "forward" else self.load_last)(last, 1)
        if self.walks:
            for name in self.kernel.outputs("total"):
                self.emit(f"{sum_name(name)} = {self.memory.load(result_name(name, self.kernel), self.program.outputs[name], OF_SEQUENCE)}")

    def is_loaded_in_tile(self, leaf: Leaf) -> bool:
        return self.kernel.roles[leaf.name] in ("token", "saved", "held", "mask")

    def load_in_tile(self, leaf: Leaf | Start) -> str:
        """The load of a leaf within the tile; "" for those that were loaded before the walk."""
        return self.memory.load_leaf(leaf) if isinstance(leaf, Start) or self.is_loaded_in_tile(leaf) else ""

    def tile(self) -> None:
        """The statements of a tile, in a loop where the kernel walks."""
        depth = 1 if self.walks else 0
        if self.walks:  # the loop keeps nothing in registers that it could compute again
            if self.kernel.walk == "reverse":
                self.emit("begin, stop = walked(tiles, slot, step, low, high)")
                self.emit("for lane in tl.range(stop - begin, disable_licm=True):", f"{INDENT}i = stop - 1 - lane")
            else:
                self.emit("for i in tl.range(tiles, disable_licm=True):")
            self.emit("index = slot + i * step", depth=1)
            self.number_own(depth)
        begin = len(self.lines)
        if self.has_borders:
            self.emit("t = base + i * C", depth=depth)
        if self.has_tokens:
            self.emit("here = (r >= first - t) & (r < tl.minimum(C, end - t))", depth=depth)
            self.emit(f"at_row, row = t * H + h, r * H{f' + {ZERO}' if self.walks else ''}", depth=depth)
        for name in self.kernel.leaves("carried"):
            leaf = self.found[name]
            if not self.is_loaded_in_tile(leaf) and leaf in self.body.starts:
                self.emit(self.body.start_line(self.body.starts[leaf], self.body.names[leaf, leaf.axes]), depth=depth)
        entries = {name: buffer for name, buffer in self.kernel.entries.items() if not self.is_loaded_in_tile(self.found[name])}
        if entries:
            self.emit("if SAVE:", depth=depth)
        for name, buffer in entries.items():
            leaf = self.found[name]
            self.emit(self.memory.store(buffer, leaf.axes, self.body.names[leaf, leaf.axes], self.memory.at_tile(buffer)), depth=depth + 1)
        last = self.last_here()
        if self.kernel.walk == "forward" and last:
            self.emit("if i == tiles - 1:", depth=depth)
            self.store_last(last, depth + 1)
        for each in self.statements(depth):
            self.emit(f"{each.target} = {each.code}", depth=depth)
        if self.kernel.walk == "reverse" and last:
            self.emit("if i == tiles - 1:", depth=depth)
            self.load_last(last, depth + 1)
        if self.walks and (self.has_tokens or self.memory.moved):
            hidden = "not known to the compiler, which so computes addresses anew"
            self.lines.insert(begin, f"{INDENT}{ZERO} = (index >> 31).to(tl.int32)  # {hidden}")

    def number_own(self, depth: int = 0) -> None:
        """The number of the tile in buffers for a part of the tiles."""
        if self.kernel.own & {*self.kernel.roles, *self.kernel.results, *self.kernel.entries.values()}:
            self.emit("own = index - low", depth=depth)

    @property
    def no_tiles(self) -> str:
        """The test for a sequence without tiles; in reverse, in one of the parts."""
        return "tiles == 0" if self.kernel.walk == "forward" else "(tiles == 0) & (low == 0)"

    def last_here(self) -> list[Leaf]:
        """The states with a value of their own before the last tile that are held in registers."""
        return [self.found[name] for name in self.kernel.last if not self.is_loaded_in_tile(self.found[name])]

    def store_last(self, leaves: Sequence[Leaf], depth: int) -> None:
        for leaf in leaves:
            self.emit(self.memory.store(last_name(leaf.name), leaf.axes, self.body.names[leaf, leaf.axes], OF_SEQUENCE), depth=depth)

    def load_last(self, leaves: Sequence[Leaf], depth: int) -> None:
        for leaf in leaves:
            self.emit(f"{self.body.names[leaf, leaf.axes]} += {self.memory.load(last_name(leaf.name), leaf, OF_SEQUENCE)}", depth=depth)

    def statements(self, depth: int) -> list[Carried]:
        """Emits the statements that compute a tile; returns the assignments that carry tiles on to the next."""
        carried: list[Carried] = []
        for node, name in ordered(self.program, self.kernel.walk == "forward"):
            if node is not None:
                self.body.operand(node, node.axes)
            else:
                carried += self.output(name)
        self.flush(depth, {each.source for each in carried}, self.held())
        return carried

    def held(self) -> dict[str, int]:
        """The bytes of the carried tiles in registers."""
        leaves = [self.found[name] for name in self.kernel.leaves("carried") if not self.is_loaded_in_tile(self.found[name])]
        return {self.body.names[leaf, leaf.axes]: bytes_of(leaf, False) for leaf in leaves}

    def output(self, name: str) -> list[Carried]:
        """The statements that compute and store an output; for a carried tile in registers, the assignment for later."""
        body, node, result = self.body, self.program.outputs[name], self.kernel.results[name]
        if result == "carried":
            leaf = self.found[name]
            source = self.next_state(name)
            return [Carried(body.names[leaf, leaf.axes], source, masked(body, [node, *self.start_parts(name)], source))]
        if result == "start" and name.endswith(START):  # with the carried tile
            return []
        if isinstance(node, Brackets):  # where they were computed
            body.operand(node, node.axes)
            return []
        with body.recorder.recording() as reading:
            if result == "total" and self.walks:
                text = f"{sum_name(name)} += {body.tiles.full(node, node.axes).text}"
            else:
                code = body.result(node).text
                if result != "total" and not code.isidentifier():
                    code = body.assign(node, node.axes, name, code, reading)
                    reading = Reading({code})
                text = self.memory.store_output(name, node, code)
        body.statements.append(make_statement(reading, *([f"if {RESUMED}:", f"{INDENT}{text}"] if result == "start" else [text])))
        return []

    def start_parts(self, name: str) -> list[Node]:
        """A term that is added to a carried tile, but in a chunk that goes on belongs to the state that entered it."""
        return [self.program.outputs[name + START]] if name + START in self.program.outputs else []

    def next_state(self, name: str) -> str:
        """The variable of a carried tile for the next tile of tokens."""
        body, node, parts = self.body, self.program.outputs[name], self.start_parts(name)
        if not parts:
            return body.named_result(node, f"{name}_next")
        new = body.fresh(f"{name}_next")
        with body.recorder.recording() as reading:
            lines = body.lines(node, new, body.tiles.full(node, node.axes).text)
            part = body.tiles.full(parts[0], node.axes).text
        store = self.memory.store_output(name + START, parts[0], name + START)
        lines += [f"{name + START} = {part}", f"if {RESUMED}:", f"{INDENT}{store}", "else:", f"{INDENT}{new} += {name + START}"]
        body.statements.append(make_statement(reading, *lines, name=new, size=bytes_of(node, False)))
        return new

    def flush(self, depth: int, kept: Collection[str] = (), held: Mapping[str, int] | None = None) -> None:
        """Emits the statements that were collected, in a good order."""
        found: list[Statement] = []
        groups = around_long(self.body.statements)
        for number, group in enumerate(groups):
            later = {name for each in groups[number + 1 :] for statement in each for name in statement.reads}
            statements, peak = arrange(group, held or {}, {*kept, *later})
            self.peak = max(self.peak, peak)
            way: Literal["walk", "each"] = "walk" if self.walks else "each"
            has_room = peak < ROOM[way] and not self.blocked  # kernels that take block after block were slower with tiles that come earlier
            found += with_early_loads(statements, way, has_room)
        for heading, statement in with_headings(found):
            if heading:
                self.emit("", f"# {heading}", depth=depth)
            self.emit(*statement.text, depth=depth)
        self.body.statements.clear()

    def epilogue(self) -> None:
        """The stores behind the last tile."""
        if not self.walks:
            return
        self.emit("")
        for name in self.kernel.outputs("carried"):
            leaf = self.found[name]
            if not self.is_loaded_in_tile(leaf):
                self.emit(self.memory.store(result_name(name, self.kernel), leaf.axes, self.body.names[leaf, leaf.axes], OF_SEQUENCE))
        for name in self.kernel.outputs("total"):
            self.emit(self.memory.store(result_name(name, self.kernel), self.program.outputs[name].axes, sum_name(name), OF_SEQUENCE))


def sum_name(name: str) -> str:
    return f"{name}_sum"
