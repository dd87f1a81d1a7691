"""The statements that compute one tile of tokens: one per named value, its equation beside it, results stored as they are ready."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from miras_compiler.derive.notation import equation
from miras_compiler.emit.printing.expression import Code
from miras_compiler.emit.printing.python_text import WIDTH
from miras_compiler.emit.triton.expression import TritonPrinter
from miras_compiler.emit.triton.fold import LONG, folded, folded_call
from miras_compiler.emit.triton.layout import is_broadcast, is_product, place, spans
from miras_compiler.emit.triton.statement import Reading, Recorder, Statement, make_statement
from miras_compiler.emit.triton.tile import TilePrinter, width
from miras_compiler.errors import InternalError
from miras_compiler.ir.build import is_constant
from miras_compiler.ir.nodes import FACTORS, MASKS, TOKEN_AXES, Axes, Contract, Decayed, Leaf, Map, Node, Rename, Start
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import dependents, leaves_of, nodes_of
from miras_compiler.ir.words import Words
from miras_compiler.passes.brackets import Brackets
from miras_compiler.passes.decays import derivatives_together
from miras_compiler.passes.invert import is_inverse, is_solve

INLINE = 52  # longer code gets a name, so that lines fit
SHORT = "t10"  # stands for a name when code is measured
RESUMED = 'GRID == "resumed"'  # the test of a kernel whether it runs a chunk that goes on


class BodyPrinter:
    """Collects `statements`. `load` gives the expression that loads a leaf, or "" for one that is at hand under its own name."""

    def __init__(
        self,
        program: Program,
        printer: TritonPrinter,
        load: Callable[[Leaf | Start], str],
        narrow: Callable[[Leaf], bool],
        taken: set[str],
        inverses: Collection[str] = (),
        substitute: Callable[[Brackets, str], tuple[list[str], str]] | None = None,
    ) -> None:
        self.program = program
        self.load = load
        self.substitute = substitute
        self.statements: list[Statement] = []
        self.taken = set(taken)
        self.names: dict[tuple[Node, Axes], str] = {}
        self.starts = {node.args[0]: node for node in nodes_of(program) if isinstance(node, Start)}  # by leaf
        self.sums: set[Node] = set()  # summed up by loops
        self.uses = effective_uses(program)
        self.together = derivatives_together(nodes_of(program))
        data = [leaf for leaf in leaves_of(program) if leaf.axes not in (("c",), ()) and leaf.name not in MASKS]
        self.data = dependents(program.outputs.values(), data)
        self.inverses = inverses
        self.recorder = Recorder()
        self.tiles = TilePrinter(printer, self.operand, self.held, self.is_exact, narrow, self.is_inverse, self.is_inline, self.recorder)
        self.rounded = rounded_tiles(program, self.is_exact) & self.data
        self.words = Words(program)
        self.made: set[str] = set()  # names that are not those of the mathematics
        self.narrow = narrow
        self.limit = INLINE

    def is_exact(self, product: Contract) -> bool:
        """Coefficients of gates, and solves: their operands keep float32."""
        return is_solve(product, self.inverses) or not self.data & set(product.args)

    def is_inverse(self, node: Node) -> bool:
        return is_inverse(node, self.inverses)

    def result(self, node: Node) -> Code:
        """The code of an output, in its natural orientation; the statements before it are in `statements` then."""
        return self.operand(node, node.axes) if self.tiles.constant(node) is None else self.tiles.full(node, node.axes)

    def named_result(self, node: Node, name: str) -> str:
        """The same as a variable of its own."""
        with self.recorder.recording() as reading:
            code = self.tiles.full(node, node.axes).text
        return code if code in self.names.values() else self.assign(node, node.axes, name, code, reading)

    def held(self, node: Node) -> Axes | None:
        """The orientation in which a tile has a name; that of its axes if it has one in both."""
        base, order = resolve(node, node.axes)
        if (base, order) in self.names:
            return node.axes
        return node.axes[::-1] if (base, order[::-1]) in self.names else None

    def operand(self, node: Node, order: Axes) -> Code:
        """A tile as it stands in an expression: its name, or its code where nothing else reads it."""
        base, order = resolve(node, order)
        if isinstance(base, Start):
            self.assign_start(base)
        if (base, order) in self.names:
            return self.read(self.names[base, order], len(order))
        if (base, order[::-1]) in self.names and not (is_product(base) and len(order) == 2 and self.wanted_turned(base)):
            return self.read(self.names[base, order[::-1]], len(order), turned=True)
        if isinstance(base, Leaf):
            return self.read(self.leaf(base), len(order), turned=order != base.axes)
        if not self.needs_statement(base):
            with self.recorder.recording() as reading:
                code = self.short_code(base, order)
            if self.length(code.text) <= self.limit or is_transparent(base):
                self.recorder.top.include(reading)
                return code
            return self.read(self.assign(base, order, self.word(base), code.text, reading), len(order))
        if not is_product(base) and order != base.axes:
            return self.read(self.statement(base, base.axes), len(order), turned=True)
        return self.read(self.statement(base, order), len(order))

    def read(self, name: str, size: int, *, turned: bool = False) -> Code:
        """A variable, as the code that is printed now reads it."""
        self.recorder.top.names.add(name)
        return Code(f"tl.trans({name})" if turned else name, size=size)

    def name_now(self, node: Node) -> None:
        """A variable for a tile that later code reads, if it does not stand for itself."""
        node, _ = resolve(node, node.axes)
        while is_broadcast(node):
            node, _ = resolve(node.args[0], node.args[0].axes)
        if isinstance(node, Leaf | Start):
            self.operand(node, node.axes)
        elif not (isinstance(node, Map) and not node.args) and self.held(node) is None:
            self.statement(node, node.axes)

    def hold(self, node: Node, name: str) -> None:
        """A tile is at hand as a variable that other code assigned."""
        self.names[node, node.axes] = name
        self.sums.add(node)

    def forget(self, ends: Callable[[Node], bool]) -> None:
        """Tiles for which `ends` holds are no longer at hand; their names are free."""
        for node, order in [key for key in self.names if ends(source(key[0]))]:
            self.taken.discard(self.names.pop((node, order)))

    def short_code(self, node: Node, order: Axes) -> Code:
        """The code of a tile; where it is too long for a line, its parts get names first."""
        with self.recorder.recording() as reading:
            code = self.tiles.code(node, order)
        if self.length(code.text) <= LONG:
            self.recorder.top.include(reading)
            return code
        limit, self.limit = self.limit, 12
        code = self.tiles.code(node, order)
        self.limit = limit
        return code

    def wanted_turned(self, base: Node) -> bool:
        """A product that has a name in one orientation is computed again for the other."""
        return isinstance(base, Contract | Map) and base not in self.sums

    def leaf(self, leaf: Leaf) -> str:
        """The variable of a leaf, loaded now if it is not at hand."""
        load = self.load(leaf)
        name = self.named(leaf, self.program.label(leaf))
        self.names[leaf, leaf.axes] = name
        start = [self.start_line(self.starts[leaf], name)] if leaf in self.starts else []  # costs nothing else
        if load:
            size = bytes_of(leaf, self.narrow(leaf))
            self.statements.append(Statement((f"{name} = {load}", *start), name, size, is_load=load.startswith("load_")))
        return name

    def assign_start(self, start: Start) -> None:
        """Assigns a value that entered the chunk beside the leaf in whose place it stands, or the constant, if it has no variable yet."""
        (otherwise,) = start.args
        if not is_constant(otherwise):
            self.operand(otherwise, otherwise.axes)
        elif (start, start.axes) not in self.names:
            line = self.start_line(start, self.tiles.full(otherwise, otherwise.axes).text)
            self.statements.append(Statement((line,), self.names[start, start.axes]))

    def start_line(self, start: Start, otherwise: str) -> str:
        """The assignment of a value that entered the chunk: loaded in a chunk that goes on, else the code `otherwise`."""
        if (start, start.axes) not in self.names:
            self.names[start, start.axes] = self.fresh(start.name)
            self.made.add(self.names[start, start.axes])
        return f"{self.names[start, start.axes]} = {self.load(start)} if {RESUMED} else {otherwise}"

    def is_inline(self, node: Node) -> bool:
        return not self.needs_statement(node) and (node, node.axes) not in self.names

    def needs_statement(self, node: Node) -> bool:
        if is_broadcast(node) or (isinstance(node, Map) and not node.args):
            return False
        return isinstance(node, Brackets) or node in self.program.labels or self.uses[node] > 1 or node in self.together

    def statement(self, node: Node, order: Axes) -> str:
        if isinstance(node, Brackets):
            return self.substitution(node)
        if node in self.together:
            self.derivatives(self.together[node])
            return self.names[node, node.axes]
        with self.recorder.recording() as reading:
            code = self.short_code(node, order).text
        return self.assign(node, order, self.word(node) + ("_turned" if order != node.axes else ""), code, reading)

    def derivatives(self, nodes: Mapping[str, Decayed]) -> None:
        """The variables of several derivatives of one product under decays, which one call gives."""
        whole = nodes["logs"]
        with self.recorder.recording() as reading:
            code = self.tiles.decayed(whole, "derivatives").text
        names = {part: self.named(node, self.word(node)) for part, node in nodes.items()}
        for part, node in nodes.items():
            self.names[node, node.axes] = names[part]
        size = sum(bytes_of(node, False) for node in nodes.values())
        line = f"{', '.join(names.get(part, '_') for part in FACTORS[1:])} = {code}"
        name, *others = names.values()
        label = self.words.given(whole)
        made = make_statement(reading, *folded_call(line), name=name, size=size, section=label.section if label else "")
        self.statements.append(replace(made, others=tuple(others)))

    def substitution(self, node: Brackets) -> str:
        """The variable of the brackets of a substitution, behind the statements that compute them in memory."""
        assert self.substitute is not None
        name = self.names[node, node.axes] = self.named(node, self.word(node))
        with self.recorder.recording() as reading:
            right = self.tiles.full(node.args[1], node.axes).text
        before, load = self.substitute(node, right)
        label = self.words.given(node)
        lines = [*before, *self.lines(node, name, load)]
        made = make_statement(reading, *lines, name=name, size=bytes_of(node, False), section=label.section if label else "")
        self.statements.append(replace(made, long=True))
        return name

    def word(self, node: Node) -> str:
        """The name of a variable for the tile, if nothing else has it."""
        label = self.words.of(node)
        return label.name if label else f"x{len(self.names)}"

    def length(self, code: str) -> int:
        """Letters of code in which every made name counts as a short one: the length of names does not decide which tiles get one."""
        return len(re.sub(r"[A-Za-z_]\w*", lambda found: SHORT if found[0] in self.made else found[0], code))

    def assign(self, node: Node, order: Axes, name: str, code: str, reading: Reading) -> str:
        """The variable of a tile, to which it assigns code that reads others."""
        label = self.words.given(node)
        name = self.names[node, order] = self.named(node, name)
        rounded = node in self.rounded
        if rounded:
            code = f"({code}).to(DOT)"
        size = bytes_of(node, rounded)
        text = self.lines(node, name, code)
        self.statements.append(make_statement(reading, *text, name=name, size=size, section=label.section if label else ""))
        return name

    def lines(self, node: Node, name: str, code: str) -> list[str]:
        """The assignment of the code of a tile, with its equation where there is room."""
        if len(name) + len(code) > LONG:
            return folded(name, code)
        line, comment = f"{name} = {code}", self.comment(node)
        return [line + comment if len(line + comment) + 8 <= WIDTH else line]

    def comment(self, node: Node) -> str:
        label = self.program.labels.get(node)
        if label is None:
            return ""
        try:
            return f"  # {equation(self.program, node)}"
        except InternalError:
            return f"  # {label.letters}"

    def named(self, node: Node, name: str) -> str:
        """A new variable for a tile, called so or nearly so."""
        name, label = self.fresh(name), self.program.labels.get(node)
        if (label is not None and label.automatic) or (label is None and not isinstance(node, Leaf)):
            self.made.add(name)
        return name

    def fresh(self, name: str) -> str:
        number, base = 1, name
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name


def masked(body: BodyPrinter, terms: Sequence[Node], code: str) -> str:
    """A carried tile, a sum of the terms, 0 in the padding."""
    node = terms[0]
    for position, axis in enumerate(node.axes):
        if axis not in TOKEN_AXES and not all(body.tiles.padding.is_zero(term, axis) for term in terms):
            body.tiles.counted.add(axis)
            here = f"{place(axis)} < {width(axis)}"
            index = f"({here})[{':, None' if position == 0 else 'None, :'}]" if len(node.axes) == 2 else here
            code = f"tl.where({index}, {code}, 0.0)"
    return code


def bytes_of(node: Node, narrow: bool) -> int:
    """The cost of a tile of 64 by 64, and of one with fewer axes."""
    return int(64 ** len(node.axes)) * (2 if narrow else 4)


def rounded_tiles(program: Program, is_exact: Callable[[Contract], bool]) -> set[Node]:
    """Tiles of two axes that nothing but products reads, which round them to the type of the tokens."""
    rounding = {node for node in nodes_of(program) if isinstance(node, Contract) and not is_exact(node)}
    others = {arg for node in nodes_of(program) if node not in rounding for arg in node.args} | set(program.outputs.values())
    return {arg for node in rounding for arg in node.args if len(arg.axes) == 2} - others


def resolve(node: Node, order: Axes) -> tuple[Node, Axes]:
    """The tile behind renamings, and the orientation in its own axes."""
    while isinstance(node, Rename):
        order = tuple(node.old if axis == node.new else axis for axis in order)
        (node,) = node.args
    return node, order


def source(node: Node) -> Node:
    """The leaf that a chunk which begins with the tile has in place of a Start; any other tile itself."""
    return node.args[0] if isinstance(node, Start) else node


def effective_uses(program: Program) -> Counter[Node]:
    """The number of times that each tile's code would stand in expressions without names; renamings and broadcasts are looked through."""
    counts: Counter[Node] = Counter()
    for node in nodes_of(program):
        if not is_transparent(node):
            counts.update(base for arg in node.args for base in _behind(arg))
    for output in program.outputs.values():
        counts.update(_behind(output))
    return counts


def is_transparent(node: Node) -> bool:
    return isinstance(node, Rename) or is_broadcast(node)


def _behind(node: Node) -> Iterator[Node]:
    while is_transparent(node):
        (node,) = node.args
    yield node


__all__ = ["BodyPrinter", "resolve", "spans"]
