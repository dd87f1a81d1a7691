"""A kernel of a schedule as a Triton function: loads, the statements of a tile, stores, and the walk over the tiles of a sequence."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from miras_compiler.emit.triton.body import BodyPrinter, bytes_of
from miras_compiler.emit.triton.device_functions import DEVICE_FUNCTIONS
from miras_compiler.emit.triton.expression import HELPERS, TritonPrinter
from miras_compiler.emit.triton.order import Statement, arrange
from miras_compiler.emit.triton.tile import block, place, width
from miras_compiler.ir.nodes import TOKEN_AXES, Axes, Contract, Leaf, Node, Program, Reduce, Rename
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.schedule.inverse import TriangularInverse
from miras_compiler.schedule.kernel import Kernel

INDENT = "    "
RESERVED = {
    "n", "h", "i", "r", "t", "row", "at_row", "here", "first", "end", "base", "tiles", "slot", "head", "index", "causal", "strict", "lane",
    "T", "H", "C", "BC", "DOT", "GRID", "PACKED", "SAVE", "LEVELS", "members", "tl", "triton", "dot", "gelu", "silu", "gelu_tanh",
    *DEVICE_FUNCTIONS, *HELPERS,
}  # fmt: skip
SECTIONS = (
    ("decay", "decays, and the weights of surprises"),
    ("surprise", "the surprises of all tokens"),
    ("memory", "the surprises of all tokens"),
    ("read", "the memory at the queries"),
    ("output", "the memory at the queries"),
    ("end", "the state behind the tile"),
)


@dataclass
class KernelPrinter:
    """Prints one kernel; `split` is an axis of which every program does one block, where nothing is summed over it."""

    kernel: Kernel
    printer: TritonPrinter
    split: str = field(init=False, default="")
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.program = self.kernel.program
        self.split = next((axis for axis in ("v", "n") if self.walks and is_separable(self.program, axis)), "")
        self.found = {leaf.name: leaf for leaf in leaves_of(self.program)}
        self.axes = sorted({axis for node in nodes_of(self.program) for axis in node.axes if axis not in TOKEN_AXES})
        taken = RESERVED | {place(a) for a in self.axes} | {width(a) for a in self.axes} | {block(a) for a in self.axes}
        self.body = BodyPrinter(self.program, self.printer, self.load_in_tile, self.is_narrow, taken)

    @property
    def walks(self) -> bool:
        return self.kernel.walk != "each"

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.arguments_of(self.kernel)

    @staticmethod
    def arguments_of(kernel: Kernel) -> tuple[str, ...]:
        """The tensors, in the order of the function's parameters."""
        leaves = [name for name, role in kernel.roles.items() if role != "valid"]
        results = [result_name(name, kernel) for name in kernel.results]
        return (*leaves, *results, *kernel.entries.values(), *(last_name(name) for name in kernel.last))

    @property
    def at_tile(self) -> str:
        """The number of a tile in a buffer with one for each tile of tokens."""
        return "(slot + i) * H + h" if self.walks else "index * H + h"

    @property
    def widths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(width(axis) for axis in self.axes))

    def text(self) -> str:
        """The function."""
        sizes = ["H", *self.widths, "C", *(f"B{w}" for w in self.widths), "BC", "DOT", "GRID", "PACKED", "SAVE"]
        head = [
            "@triton.jit(do_not_specialize=JUST_NUMBERS)",
            f"def {self.kernel.name}(",
            *(
                f"{INDENT}{line}"
                for line in wrapped([*(f"{name}_ptr" for name in self.arguments), "position_ptr", "cu_ptr", "T", "members"])
            ),
            *(f"{INDENT}{line}" for line in wrapped([f"{size}: tl.constexpr" for size in sizes])),
            "):  # fmt: skip",
        ]
        self.prologue()
        self.tile()
        self.epilogue()
        self.drop_unused()
        return "\n".join([*head, *(f"{INDENT}{line}" if line else "" for line in self.lines)])

    def drop_unused(self) -> None:
        """Without counters that nothing counts by; parts of `span` that nothing reads get an underscore."""
        text = "\n".join(self.lines[1:])
        for index, line in enumerate(self.lines):
            if line.startswith("first, end, base, tiles, slot = "):
                names = [name if len(re.findall(rf"\b{name}\b", text)) > 1 else f"_{name}" for name in line.split(" = ")[0].split(", ")]
                self.lines[index] = f"{', '.join(names)} = {line.split(' = ', 1)[1]}"
        self.lines = [line for line in self.lines if not (line.startswith("r = ") and len(re.findall(r"\br\b", text)) == 1)]

    def emit(self, *lines: str, depth: int = 0) -> None:
        self.lines += [f"{INDENT * depth}{line}" if line else "" for line in lines]

    def prologue(self) -> None:
        """Which sequence, head and tiles; what is loaded once."""
        kernel = self.kernel
        self.emit(f'"""{describe(kernel)}"""')
        if self.walks:
            self.emit("n, h = (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H")
        else:
            self.emit("index, h = (tl.program_id(0) // H).to(tl.int64), tl.program_id(0) % H")
            self.emit("n = sequence_of(index, cu_ptr, T, members, C, GRID, PACKED)")
        self.emit("first, end, base, tiles, slot = span(n, position_ptr, cu_ptr, T, C, GRID, PACKED)")
        if not self.walks:
            self.emit("i = index - slot", "if i >= tiles:", f"{INDENT}return")
        self.emit("r = tl.arange(0, BC)")
        for axis in self.axes:
            start = f"tl.program_id(1) * {block(axis)} + " if axis == self.split else ""
            self.emit(f"{place(axis)} = {start}tl.arange(0, {block(axis)})")
        if any(isinstance(node, TriangularInverse) for node in nodes_of(self.program)):
            self.emit("LEVELS: tl.constexpr = BC.bit_length() - 1")
        used = {(str(type(node).__name__), node.fields[2]) for node in nodes_of(self.program) if type(node).__name__ == "Mask"}
        if ("Mask", 0) in used:
            self.emit("causal = r[:, None] >= r[None, :]")
        if ("Mask", 1) in used:
            self.emit("strict = r[:, None] > r[None, :]")
        for name in kernel.leaves("parameter", "fixed", "carried"):
            if name in self.found:
                leaf = self.found[name]
                index = "h" if kernel.roles[name] == "parameter" else "n * H + h"
                self.emit(f"{self.body.leaf(leaf, leaf.axes).text} = {self.load(name, leaf, index)}")
        if kernel.last:
            self.emit("if tiles == 0:")
            (self.store_last if kernel.walk == "forward" else self.load_last)(1)
        if self.walks:
            for name in kernel.outputs("total"):
                self.emit(f"{self.sum_name(name)} = tl.zeros({shape(self.program.outputs[name].axes)}, tl.float32)")

    def tile(self) -> None:
        """The statements of a tile, in a loop where the kernel walks."""
        depth = 1 if self.walks else 0
        if self.walks:
            self.emit("for lane in tl.range(tiles, disable_licm=True):" if self.kernel.walk == "reverse" else "for i in tl.range(tiles, disable_licm=True):")
            if self.kernel.walk == "reverse":
                self.emit("i = tiles - 1 - lane", depth=1)
        if {"token", "valid"} & {*self.kernel.roles.values(), *self.kernel.results.values()}:
            self.emit("t = base + i * C", "here = (r >= first - t) & (r < tl.minimum(C, end - t))", depth=depth)
            self.emit("at_row, row = t * H + h, r * H", depth=depth)
        if self.kernel.entries:
            self.emit("if SAVE:", depth=depth)
        for name, buffer in self.kernel.entries.items():
            leaf = self.found[name]
            self.emit(self.store(buffer, leaf.axes, self.body.names[leaf, leaf.axes], "(slot + i) * H + h"), depth=depth + 1)
        if self.kernel.walk == "forward" and self.kernel.last:
            self.emit("if i == tiles - 1:", depth=depth)
            self.store_last(depth + 1)
        carried = self.statements(depth)
        for target, source in carried:
            self.emit(f"{target} = {source}", depth=depth)
        if self.kernel.walk == "reverse" and self.kernel.last:
            self.emit("if lane == 0:", depth=depth)
            self.load_last(depth + 1)

    def store_last(self, depth: int) -> None:
        for name in self.kernel.last:
            leaf = self.found[name]
            self.emit(self.store(last_name(name), leaf.axes, self.body.names[leaf, leaf.axes], "n * H + h"), depth=depth)

    def load_last(self, depth: int) -> None:
        for name in self.kernel.last:
            leaf = self.found[name]
            self.emit(f"{self.body.names[leaf, leaf.axes]} += {self.load(last_name(name), leaf, 'n * H + h')}", depth=depth)

    def statements(self, depth: int) -> list[tuple[str, str]]:
        """Emits what computes a tile; the assignments that carry tiles on to the next."""
        body, carried, heading = self.body, [], ""

        def store(text: str, name: str = "") -> None:
            body.statements.append(Statement((text,), name))

        for title, node, name in ordered(self.program, self.kernel.walk == "forward"):
            before = len(body.statements)
            if node is not None:
                body.operand(node, node.axes)
            else:
                output, result = self.program.outputs[name], self.kernel.results[name]
                if result == "carried" and name in self.found:
                    code = self.masked(output, body.named_result(output, self.next_name(name)))
                    carried.append((body.names[self.found[name], self.found[name].axes], code))
                elif result == "total" and self.walks:
                    store(f"{self.sum_name(name)} += {body.tiles.full(output, output.axes).text}")
                elif result != "carried":
                    code = body.result(output).text
                    if result != "total" and not code.isidentifier():
                        code = body.assign(output, output.axes, name, code)
                    store(self.stored(name, output, code))
            heading = title or heading
            if title and len(body.statements) > before:
                body.statements[before] = replace(body.statements[before], heading=title)
        held = {body.names[leaf, leaf.axes]: bytes_of(leaf, False) for leaf in self.found.values() if self.kernel.roles[leaf.name] == "carried"}
        kept = {word for _, code in carried for word in re.findall(r"\w+", code)}
        for statement in arrange(body.statements, held, kept):
            if statement.heading:
                self.emit("", f"# {statement.heading}", depth=depth)
            self.emit(*statement.text, depth=depth)
        return carried

    def stored(self, name: str, output: Node, code: str) -> str:
        """The call that stores an output."""
        result = self.kernel.results[name]
        if result == "token":
            return self.store_token(name, output, code)
        return self.store(result_name(name, self.kernel), output.axes, code, "index * H + h" if result == "total" else self.at_tile)

    def epilogue(self) -> None:
        """What is stored once, behind the last tile."""
        if not self.walks:
            return
        self.emit("")
        for name in self.kernel.outputs("carried"):
            leaf = self.found[name]
            self.emit(self.store(result_name(name, self.kernel), leaf.axes, self.body.names[leaf, leaf.axes], "n * H + h"))
        for name in self.kernel.outputs("total"):
            self.emit(self.store(result_name(name, self.kernel), self.program.outputs[name].axes, self.sum_name(name), "n * H + h"))

    def masked(self, node: Node, code: str) -> str:
        """A carried tile, 0 in the padding."""
        for position, axis in enumerate(node.axes):
            if axis not in TOKEN_AXES and not self.body.tiles.padding.is_zero(node, axis):
                here = f"{place(axis)} < {width(axis)}"
                index = f"({here})[{':, None' if position == 0 else 'None, :'}]" if len(node.axes) == 2 else here
                code = f"tl.where({index}, {code}, 0.0)"
        return code

    def next_name(self, name: str) -> str:
        return f"{name}_next"

    def sum_name(self, name: str) -> str:
        return f"{name}_sum"

    def is_narrow(self, leaf: Leaf) -> bool:
        """Whether a leaf is loaded as it is stored: rows of tokens, and tiles that were saved."""
        return len(leaf.axes) == 2 and self.kernel.roles[leaf.name] in ("token", "saved")

    def load_in_tile(self, leaf: Leaf) -> str:
        """How a leaf is loaded within the tile; "" for those that were loaded before the walk."""
        role = self.kernel.roles[leaf.name]
        if role == "token":
            return self.load_token(leaf.name, leaf)
        if role == "saved":
            return self.load(leaf.name, leaf, self.at_tile)
        return "tl.where(here, 1.0, 0.0)" if role == "valid" else ""

    def load_token(self, name: str, leaf: Leaf) -> str:
        if len(leaf.axes) == 1:
            return f"load_numbers({name}_ptr, at_row, row, here)"
        axis = leaf.axes[1]
        return f"load_rows({name}_ptr, at_row, row, here, {place(axis)}, {width(axis)})"

    def store_token(self, name: str, node: Node, code: str) -> str:
        pointer = f"{result_name(name, self.kernel)}_ptr"
        if len(node.axes) == 1:
            return f"store_numbers({pointer}, at_row, row, here, {code})"
        axis = node.axes[1]
        return f"store_rows({pointer}, at_row, row, here, {place(axis)}, {width(axis)}, {code})"

    def load(self, name: str, leaf: Node, index: str) -> str:
        code = f"{('load_number', 'load_row', 'load_tile')[len(leaf.axes)]}({name}_ptr, {index}{places(leaf.axes)})"
        return code if self.kernel.roles.get(name) == "saved" or len(leaf.axes) < 2 else f"{code}.to(tl.float32)"

    def store(self, name: str, axes: Axes, code: str, index: str) -> str:
        return f"{('store_number', 'store_row', 'store_tile')[len(axes)]}({name}_ptr, {index}{places(axes)}, {code})"


def is_separable(program: Program, axis: str) -> bool:
    """Whether nothing in the program sums over an axis that every output has."""
    if not all(axis in node.axes for node in program.outputs.values()):
        return False
    return not any(
        (isinstance(node, Contract) and axis in node.over)
        or (isinstance(node, Reduce) and node.axis == axis)
        or (isinstance(node, Rename) and axis in (node.old, node.new))
        for node in nodes_of(program)
    )


def last_name(name: str) -> str:
    """The argument for a state as the last tile finds it."""
    return f"{name}_last"


def result_name(name: str, kernel: Kernel) -> str:
    """What an output is called among the arguments: a leaf may have its name already."""
    return f"{name}_next" if name in kernel.roles else name


def places(axes: Axes) -> str:
    """The counters and lengths of one or two axes."""
    return "".join(f", {place(axis)}" for axis in axes) + "".join(f", {width(axis)}" for axis in axes)


def shape(axes: Axes) -> str:
    return f"[{', '.join(map(block, axes))}]"


def describe(kernel: Kernel) -> str:
    """What the kernel does, in one line."""
    way = {"forward": "one tile after another", "reverse": "from the last tile to the first", "each": "every tile on its own"}[kernel.walk]
    return f"{textwrap.shorten(', '.join(kernel.results), 90, placeholder=' …')}: {way}."


Step = tuple[str, Node | None, str]
"""The heading that a statement stands under ("" if that is no new one), the tile it computes, the output that it stores."""


def ordered(program: Program, by_section: bool) -> list[Step]:
    """Labelled tiles and outputs in the order of their statements."""
    titles = dict(SECTIONS)
    rank = {section: index for index, (section, _) in enumerate(SECTIONS)}
    steps: list[Step] = []
    if by_section:
        nodes = [node for node in nodes_of(program) if node in program.labels and not isinstance(node, Leaf)]
        nodes.sort(key=lambda node: rank.get(program.labels[node].section, 0))
        waiting: dict[Node, list[str]] = {}
        for name, node in program.outputs.items():
            waiting.setdefault(node, []).append(name)
        for node in nodes:
            steps.append((titles.get(program.labels[node].section, ""), node, ""))
            steps += [("", None, name) for name in waiting.pop(node, [])]
        steps += [("", None, name) for names in waiting.values() for name in names]
    else:
        steps = [(f"the gradient of {name.removeprefix('d_')}" if name.startswith("d_") else name, None, name) for name in program.outputs]
    seen, result = "", []
    for heading, tile, output in steps:
        result.append((heading if heading != seen else "", tile, output))
        seen = heading or seen
    return result


def wrapped(items: Sequence[str], limit: int = 120) -> list[str]:
    """Items with commas, in lines that fit."""
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) > limit:
            lines.append(line.rstrip())
            line = ""
        line += f"{item}, "
    return [*lines, line.rstrip()]
