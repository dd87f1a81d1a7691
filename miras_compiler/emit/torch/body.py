"""A tile program as the body of a PyTorch function: one statement per named value, in sections, each with its equation beside it."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from miras_compiler.derive.notation import equation
from miras_compiler.derive.patterns import is_segment
from miras_compiler.emit.printing.expression import Code
from miras_compiler.emit.printing.python_text import WIDTH
from miras_compiler.emit.torch.expression import TorchPrinter
from miras_compiler.emit.torch.lines import fit
from miras_compiler.emit.torch.tile import TorchTilePrinter
from miras_compiler.ir.build import length, placeholder
from miras_compiler.ir.nodes import AXIS_ORDER, Leaf, Map, Node, Rename
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, nodes_of, use_counts
from miras_compiler.passes import run_passes
from miras_compiler.passes.fuse import fuse
from miras_compiler.passes.name import name
from miras_compiler.passes.reuse import reuse

INDENT = "    "


@dataclass(frozen=True)
class Body:
    """`parameters` are the arguments in code, one per leaf in the order asked for; `lines` the indented statements, return included."""

    parameters: tuple[str, ...]
    lines: tuple[str, ...]
    helpers: Mapping[str, str]

    @property
    def uses_functional(self) -> bool:
        return any("functional." in line for line in (*self.lines, *self.helpers.values()))


def print_body(program: Program, sections: Sequence[tuple[str, str]], leaves: Sequence[str], outputs: Sequence[str]) -> Body:
    """The statements of a program whose function takes `leaves` and returns `outputs`; `sections` are (section, comment), in order."""
    return _BodyPrinter(run_passes(program, (reuse, name)), sections).body(leaves, outputs)


class _BodyPrinter:
    def __init__(self, program: Program, sections: Sequence[tuple[str, str]]) -> None:
        self.program = program
        self.titles = dict(sections)
        self.rank = {section: index for index, (section, _) in enumerate(sections)}
        self.uses = use_counts(program)
        self.printer = TorchPrinter()
        leaves = leaves_of(program)
        self.names: dict[Node, str] = {leaf: program.label(leaf) for leaf in leaves}
        anchor = max(leaves, key=lambda leaf: 2 if len(leaf.axes) == 2 and leaf.axes[0] == "c" else leaf.name in ("q", "z"))
        self.tiles = TorchTilePrinter(self.printer, self.operand, self.define_row_map, self.names[anchor], len(anchor.axes))

    def body(self, leaves: Sequence[str], outputs: Sequence[str]) -> Body:
        found = {leaf.name: leaf for leaf in leaves_of(self.program)}
        lines: list[str] = []
        heading = ""
        for node in self.ordered_statements():
            title = self.titles.get(self.section_of[node], "measures")
            if title != heading:
                lines += [*([""] if lines else []), f"{INDENT}# {title}"]
            heading = title
            lines += self.statement(node)
        results = [self.tiles.full(self.program.outputs[name]).text for name in outputs]
        line = f"{INDENT}return {', '.join(results)}"
        lines += [line] if len(line) <= WIDTH else [f"{INDENT}return (", *(f"{INDENT * 2}{result}," for result in results), f"{INDENT})"]
        text = "\n".join(lines)
        preamble = [f"{INDENT}{line}" for line in self.dimensions(found) if re.search(rf"\b{line.partition(' ')[0]}\b", text)]
        parameters = tuple(self.names[found[name]] if name in found else name for name in leaves)
        return Body(parameters, (*preamble, *lines), self.printer.helpers)

    def define_row_map(self, phi: Program) -> str:
        """Prints a program of one row as a function of z and keywords; returns its name."""
        named = name(fuse(phi))
        leaves = sorted((leaf.name for leaf in leaves_of(named)), key=lambda leaf: (leaf != "z", leaf))
        body = print_body(named, (), leaves, list(named.outputs))
        parameters = ", ".join(f"{parameter}: Tensor" for parameter in body.parameters)
        says = '"""The surprise of one row, from its product z with the state that it is measured at."""'
        lines = [line for line in body.lines if line and line.strip()[:1] != "#"]
        text = "\n".join([f"def {phi.name}({parameters}) -> Tensor:", f"{INDENT}{says}", *_returned_at_once(lines)])
        self.printer.helpers |= {**body.helpers, phi.name: text}
        return phi.name

    def dimensions(self, found: dict[str, Leaf]) -> list[str]:
        """`dim_v = v.shape[-1]` for every length that an expression names."""
        letters = {symbol for node in nodes_of(self.program) if isinstance(node, Map) for symbol in node.expr.free_symbols}
        used = {axis for axis in AXIS_ORDER if length(axis) in letters}
        used |= self.tiles.lengths
        lines = []
        for axis in sorted(used, key=AXIS_ORDER.index):
            others = {"i": ("c",), "j": ("c",), "r": ("s",)}.get(axis, ())  # as long as it is
            leaf, own = next((leaf, each) for each in (axis, *others) for leaf in found.values() if each in leaf.axes)
            lines.append(f"dim_{axis} = {self.names[leaf]}.shape[{leaf.axes.index(own) - len(leaf.axes)}]")
        return lines

    def ordered_statements(self) -> list[Node]:
        """The tiles that get a statement: topological, and by section where there is a choice."""
        nodes = [node for node in nodes_of(self.program) if not isinstance(node, Leaf)]
        self.section_of = self.sections(nodes)
        waiting = {node: {arg for arg in node.args if not isinstance(arg, Leaf)} for node in nodes}
        readers: dict[Node, list[Node]] = {}
        for node, args in waiting.items():
            for arg in args:
                readers.setdefault(arg, []).append(node)
        place = {node: index for index, node in enumerate(nodes)}
        ready = [(self.rank.get(self.section_of[node], len(self.rank)), place[node]) for node in nodes if not waiting[node]]
        heapq.heapify(ready)
        order: list[Node] = []
        while ready:
            node = nodes[heapq.heappop(ready)[1]]
            order.append(node)
            for reader in readers.get(node, ()):
                waiting[reader].discard(node)
                if not waiting[reader]:
                    heapq.heappush(ready, (self.rank.get(self.section_of[reader], len(self.rank)), place[reader]))
        return [node for node in order if self.needs_statement(node)]

    def sections(self, nodes: list[Node]) -> dict[Node, str]:
        found: dict[Node, str] = {}
        for node in reversed(nodes):
            if node in self.program.labels:
                found[node] = self.program.labels[node].section
            found.setdefault(node, next(iter(self.titles), ""))
            for arg in node.args:
                found.setdefault(arg, found[node])
        return found

    def needs_statement(self, node: Node) -> bool:
        if isinstance(node, Rename) or (isinstance(node, Map) and (not node.args or self.is_broadcast(node))):
            return False
        return not is_segment(node) and (node in self.program.labels or self.uses[node] > 1)

    @staticmethod
    def is_broadcast(node: Map) -> bool:
        return bool(node.expr == placeholder(0))

    def operand(self, node: Node) -> Code:
        """A tile as it stands in an expression: its name, or its code where nothing else reads it."""
        if node in self.names:
            return Code(self.names[node], size=len(node.axes))
        if isinstance(node, Rename):
            return self.operand(node.args[0])
        return self.tiles.code(node)

    def statement(self, node: Node) -> list[str]:
        """`name = code  # equation`; where that is too long, with statements for parts of it first."""
        label = self.program.labels.get(node)
        name = label.name if label else f"x{len(self.names)}"
        code = self.tiles.code(node).text
        before: list[str] = []
        while len(INDENT) + len(name) + len(code) + 3 > WIDTH and (parts := self.parts(node)):
            before += self.statement(parts[0])
            code = self.tiles.code(node).text
            name = label.name if label else f"x{len(self.names)}"
        self.names[node] = name
        lines = fit(f"{name} = ", code, len(INDENT))
        comment = f"  # {equation(self.program, node)}" if node in self.program.labels else ""
        if len(lines) == 1 and len(lines[0] + comment) <= WIDTH:
            lines = [lines[0] + comment]
        return [*before, *lines]

    def parts(self, node: Node) -> list[Node]:
        """Arguments that are written out inside the code of a tile and could have a statement of their own, longest first."""
        found = [arg for arg in node.args if arg not in self.names and not isinstance(arg, Rename | Leaf)]
        found = [arg for arg in found if not (isinstance(arg, Map) and (not arg.args or self.is_broadcast(arg)))]
        inner = [deep for arg in found for deep in self.parts(arg)]
        return sorted([*found, *inner], key=lambda arg: -len(self.tiles.code(arg).text))


def _returned_at_once(lines: list[str]) -> list[str]:
    """The last value without a name: `return code` for `d = code` and `return d`."""
    *before, assignment, result = lines
    name = result.strip().removeprefix("return ")
    head = f"{INDENT}{name} = "
    return [*before, f"{INDENT}return {assignment.removeprefix(head).partition('  # ')[0]}"] if assignment.startswith(head) else lines
