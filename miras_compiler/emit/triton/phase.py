"""A phase of a walk, or its adjoint, as a Triton function of one token: tiles in, tiles out, no memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from miras_compiler.emit.triton.body import BodyPrinter, masked, resolve
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.head import INDENT, wrapped
from miras_compiler.emit.triton.layout import block, is_broadcast, place, spans
from miras_compiler.emit.triton.reserved import RESERVED
from miras_compiler.emit.triton.tile import width
from miras_compiler.ir.nodes import Contract, Leaf, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, nodes_of

SHARED = "SHARED"  # the flag of a kernel: whether programs share out an axis


def counter(axis: str, split: str) -> str:
    """The assignment of the variable that counts along an axis, of which a program has a part where it is `split`."""
    begin = f"(tl.program_id(1) * {block(axis)} if {SHARED} else 0) + " if axis == split else ""
    return f"{place(axis)} = {begin}tl.arange(0, {block(axis)})"


class _StepBody(BodyPrinter):
    """Products keep the digits of their operands: a token changes the state by less than narrow operands resolve."""

    def is_exact(self, product: Contract) -> bool:
        return True


@dataclass
class PhasePrinter:
    """Prints a program as a function. `carried` are outputs that later tokens read: they are 0 in the padding.

    Statements stand in the order of `sections`, under their titles, or output by output where there are none. Programs share out the axis
    `split`.
    """

    name: str
    says: str
    program: Program
    printer: TritonPrinter
    carried: Sequence[str]
    sections: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leaves = leaves_of(self.program)
        self.axes = sorted({axis for leaf in self.leaves for axis in leaf.axes})
        taken = RESERVED | {f(axis) for axis in self.axes for f in (place, width, block)} | {"r"}
        self.body = _StepBody(self.program, self.printer, lambda leaf: "", lambda leaf: False, taken)
        self.body.tiles.apart = {node for node in nodes_of(self.program) if isinstance(node, Contract)}

    @property
    def reads(self) -> list[str]:
        """The tiles that the function takes, by name."""
        return [leaf.name for leaf in self.leaves]

    @property
    def gives(self) -> list[str]:
        """The results, by name."""
        return list(self.program.outputs)

    @property
    def sizes(self) -> list[str]:
        """The widths and blocks that it takes behind the tiles."""
        widths = dict.fromkeys(width(axis) for axis in self.axes)
        return [*widths, *(f"B{letter}" for letter in widths), "DOT", *([SHARED] if self.split else [])]

    def text(self) -> str:
        parameters = [self.body.leaf(leaf) for leaf in self.leaves]
        if self.sections:
            self.by_section()
        results = [self.result(name, node) for name, node in self.program.outputs.items()]
        self.returned(results)
        counted = {place(axis) for axis in self.body.tiles.counted}
        counters = [counter(axis, self.split) for axis in self.axes if place(axis) in counted]
        head = [
            "@triton.jit",
            f"def {self.name}(",
            *(f"{INDENT}{line}" for line in wrapped([*parameters, *(f"{size}: tl.constexpr" for size in self.sizes)])),
            "):  # fmt: skip",
            f'{INDENT}"""{self.says}"""',
        ]
        return "\n".join([*head, *(f"{INDENT}{line}" if line else "" for line in (*counters, *self.lines))])

    def returned(self, results: Sequence[str]) -> None:
        """Emits the return; of one result right behind its assignment, in place of that."""
        at = next((i for i in reversed(range(len(self.lines))) if not self.lines[i].startswith((" ", ")"))), 0)
        if len(results) == 1 and self.lines and self.lines[at].startswith(f"{results[0]} = "):
            self.lines[at] = f"return {self.lines[at].removeprefix(f'{results[0]} = ')}"
        else:
            self.emit(f"return {', '.join(results)}")

    def emit(self, *lines: str) -> None:
        self.lines += lines

    def by_section(self) -> None:
        """The labelled tiles, under the titles of their sections."""
        titles, rank = self.sections, list(self.sections)
        labels = self.program.labels
        named = [(node, labels[node].section) for node in labels if labels[node].section in titles and not isinstance(node, Leaf)]
        told = ""
        for node, section in sorted(named, key=lambda pair: rank.index(pair[1])):
            self.body.operand(node, node.axes)
            if self.body.statements and titles[section] != told:
                told = titles[section]
                self.emit("", f"# {told}")
            self.flush()

    def result(self, name: str, node: Node) -> str:
        """The code of an output; the statements that it needs stand before."""
        while is_broadcast(node) and node.axes == node.args[0].axes:
            (node,) = node.args
        if self.body.tiles.constant(node) is not None:
            return self.body.tiles.full(node, node.axes).text
        title = self.title(name)
        if title:
            self.emit("", f"# {title}")
        code = self.body.named_result(node, name) if self.is_at_hand(node) else self.fresh_result(name, node)
        self.flush()
        if title and self.lines[-1].startswith("# "):
            del self.lines[-2:]
        return masked(self.body, [node], code) if name in self.carried else code

    def is_at_hand(self, node: Node) -> bool:
        """True if a tile is a leaf, or has a name that other statements use."""
        base, _ = resolve(node, node.axes)
        return isinstance(base, Leaf) or self.body.needs_statement(base)

    def fresh_result(self, name: str, node: Node) -> str:
        """A tile that nothing else reads, under the name of the output."""
        base, order = resolve(node, node.axes)
        with self.body.recorder.recording() as reading:
            code = self.body.short_code(base, order) if spans(base) else self.body.tiles.full(node, node.axes)
        return self.body.assign(base, order, name, code.text, reading)

    def title(self, name: str) -> str:
        """The heading of the statements of an output, where there are none of sections."""
        return "" if self.sections else f"the gradient of {name.removeprefix('d_')}"

    def flush(self) -> None:
        for statement in self.body.statements:
            self.emit(*statement.text)
        self.body.statements.clear()
