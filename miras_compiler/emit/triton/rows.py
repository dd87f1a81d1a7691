"""A substitution in a kernel: rows one after another, by a device function that is given the function of one row.

The brackets are computed in place of the right side, in the buffer that saves them; the rows stand beside them in memory of the program's
own, from which the product of a block with all blocks before it loads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from miras_compiler.emit.printing.python_text import WIDTH
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.layout import block, place
from miras_compiler.emit.triton.memory import OF_SEQUENCE, TileMemory
from miras_compiler.emit.triton.phase import SHARED, PhasePrinter
from miras_compiler.emit.triton.tile import width
from miras_compiler.errors import InternalError
from miras_compiler.ir.nodes import FACTORS, TOKEN_AXES, Leaf, Map, Node, Rename
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.passes.brackets import Brackets
from miras_compiler.schedule.kernel import Kernel

MANY, FEW = 16, 8  # rows of a block
NEXT = "\n    "
SHORT = 12  # steps of the function of a row
FUNCTION = '''
@triton.jit
def {name}_takes(t, given, H: tl.constexpr, WIDTH: tl.constexpr):
    """All of row t of a tile that {name} takes."""
    {given} = given
    here = (t >= low) & (t < high)
    return {taken}


@triton.jit
def {name}_of(z, taken, given, WIDTH: tl.constexpr, BLOCK: tl.constexpr, DOT: tl.constexpr):
    """{says}, with all that it takes."""
    {names} = taken
    {parameters} = given
    return {name}({arguments})
'''
COUPLING = '''

@triton.jit
def {name}_couples(taken):
    """Of all that a row takes, its factor in its own weights, that in the weights of its row for others, and its decay."""
    {names} = taken
    return {own}, {other}, {decay}
'''


def brackets_of(kernel: Kernel) -> list[Brackets]:
    """The substitutions of a kernel."""
    return [node for node in nodes_of(kernel.program) if isinstance(node, Brackets)]


def buffer_of(node: Node, kernel: Kernel) -> str:
    """The output of a kernel in which brackets are computed."""
    return next(name for name, output in kernel.program.outputs.items() if output is node)


def rows_at_once(node: Brackets) -> int:
    """The rows of a block, whose code stands row after row: fewer where the code of one is long, which Triton takes long to compile."""
    steps = sum(1 + int(sp.count_ops(each.expr)) if isinstance(each, Map) else 1 for each in nodes_of(node.phi))
    return FEW if steps > SHORT or node.factors else MANY


def rows_name(node: Node, kernel: Kernel) -> str:
    """The name of the memory for the rows of a substitution."""
    return f"{buffer_of(node, kernel)}_rows"


class RowPrinter(PhasePrinter):
    """Prints the function of a row, which has one result and no headings."""

    def title(self, name: str) -> str:
        return ""


@dataclass
class SubstitutionPrinter:
    """Prints the substitutions of one kernel; `split` is the axis of which every program does a part."""

    kernel: Kernel
    memory: TileMemory
    printer: TritonPrinter
    split: str

    def lines(self, node: Brackets, right: str) -> list[str]:
        """The statements behind which the buffer of the brackets holds them; `right` is the variable of the right side."""
        lower, axis = leaf_of(node.args[0]), node.axes[1]
        buffer, letter = buffer_of(node, self.kernel), width(axis)
        at = self.memory.at_tile(buffer)
        tensors = [
            f"{lower.name}_ptr + ({self.memory.at_tile(lower.name)}) * (C * C)",
            f"{buffer}_ptr + ({at}) * (C * {letter})",
            f"{rows_name(node, self.kernel)}_ptr + ({OF_SEQUENCE}) * (C * {letter})",
        ]
        function = self.function(node)
        more = [f"{function}_couples", f"EXCLUSIVE={node.exclusive}"] if node.factors else []
        return [
            self.memory.store(buffer, node.axes, right, at),
            f"{self.printer.need('substitute_by_channel' if node.factors else 'substitute')}(",
            f"    {', '.join(tensors)},",
            f"    ({', '.join(self.given(node))}),",
            f"    r, {place(axis)}, H, {letter}, {block(axis)}, C, DOT,",
            f"    {', '.join([f'{function}_takes', f'{function}_of', *more])}, ROWS={rows_at_once(node)}, BACK={node.transposed},",
            ")  # fmt: skip",
        ]

    def loaded(self, node: Brackets) -> str:
        """The load of the brackets as a tile."""
        buffer = buffer_of(node, self.kernel)
        return self.memory.load(buffer, node, self.memory.at_tile(buffer))

    def bound(self, node: Brackets) -> list[tuple[str, Leaf]]:
        """The leaves of φ but z, by name."""
        return [(name, leaf_of(arg)) for name, arg in zip(node.names, node.args[2:], strict=True)]

    def given(self, node: Brackets) -> list[str]:
        """The begin of every tile of rows, parameters, the columns, the first row that is a token, and the first that is none any more."""
        begins = [self.begin(leaf) for _, leaf in self.bound(node)]
        return [*begins, place(node.axes[1]), "(first - t).to(tl.int32)", "tl.minimum(C, end - t).to(tl.int32)"]

    def begin(self, leaf: Leaf) -> str:
        """The address of the first row of a tile; the row itself where all tokens share it."""
        rest = [width(axis) for axis in leaf.axes if axis not in TOKEN_AXES]
        if len(rest) == len(leaf.axes):
            return leaf.name
        if self.kernel.roles[leaf.name] == "token":
            return f"{leaf.name}_ptr + at_row" + "".join(f" * {each}" for each in rest)
        return f"{leaf.name}_ptr + ({self.memory.at_tile(leaf.name)}) * ({' * '.join(['C', *rest])})"

    def function(self, node: Brackets) -> str:
        """The name of the function of one row, which is printed together with the function that loads its arguments.

        A row of keys is as wide as one of values: they are added.
        """
        name = node.phi.name
        if name in self.printer.helpers:
            return name
        says = "From the gradient of a row's surprise to that of its product" if node.transposed else "The surprise of a row"
        row = RowPrinter(name, f"{says}.", node.phi, self.printer, list(node.phi.outputs), split=self.split)
        text = row.text()
        rows = {each: leaf for each, leaf in self.bound(node) if TOKEN_AXES & set(leaf.axes)}
        loads = [self.load(each, leaf) for each, leaf in rows.items()]
        counted = "at" if any(", at, " in load for load in loads) else "_"
        sizes = [{"DOT": "DOT", SHARED: "True"}.get(size, "BLOCK" if size.startswith("B") else "WIDTH") for size in row.sizes]
        both = FUNCTION.format(
            name=name,
            says=says,
            given=", ".join([*(f"{each}_ptr" if each in rows else "_" for each, _ in self.bound(node)), counted, "low", "high"]),
            taken=tuple_of(["here", *loads]),
            names=", ".join("_" if each in node.factors else each for each in ["_", *rows]),
            parameters=", ".join([*("_" if each in rows else each for each, _ in self.bound(node)), "_", "_", "_"]),
            arguments=", ".join([*row.reads, *sizes]),
        )
        if node.factors:
            own, other = ("columns", "rows") if node.transposed else ("rows", "columns")
            decay = f"{self.printer.need('exp')}(logs)" if "logs" in node.factors else "1.0"
            factors = {"own": own if own in node.factors else "1.0", "other": other if other in node.factors else "1.0", "decay": decay}
            both += COUPLING.format(name=name, names=", ".join(each if each in FACTORS else "_" for each in ["_", *rows]), **factors)
        self.printer.helpers[name] = f"{text}\n\n{both}"
        return name

    def load(self, name: str, leaf: Leaf) -> str:
        """The load of the value that a leaf of φ is bound to."""
        where = "t, H, here" if self.kernel.roles[leaf.name] == "token" else "t, 1, here"
        if len(leaf.axes) == 1:
            return f"{self.printer.need('take_number')}({name}_ptr, {where})"
        return f"{self.printer.need('take_row')}({name}_ptr, {where}, at, WIDTH)"


def tuple_of(items: Sequence[str]) -> str:
    """The code of a tuple that a function returns, with an item a line where a line does not hold it."""
    text = ", ".join(items) if len(items) > 1 else f"({items[0]},)"
    return text if len(text) < WIDTH - 12 else f"({''.join(f'{NEXT}    {item},' for item in items)}{NEXT})"


def leaf_of(node: Node) -> Leaf:
    """The tile in memory that an argument of a substitution is."""
    while isinstance(node, Rename):
        (node,) = node.args
    if not isinstance(node, Leaf):
        raise InternalError(f"a substitution takes {node!r}, which is in no memory")
    return node
