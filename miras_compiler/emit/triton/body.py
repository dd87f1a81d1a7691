"""The statements that compute one tile of tokens: one per named value, its equation beside it, results stored as they are ready."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator

from miras_compiler.derive.notation import equation
from miras_compiler.emit.triton.expression import Code, TritonPrinter
from miras_compiler.emit.triton.order import Statement
from miras_compiler.emit.triton.tile import TilePrinter, is_broadcast, is_product, spans
from miras_compiler.errors import InternalError
from miras_compiler.ir.nodes import Axes, Contract, Leaf, Map, Node, Program, Rename
from miras_compiler.ir.traverse import dependents, leaves_of, nodes_of
from miras_compiler.schedule.inverse import is_solve

WIDTH = 140
INLINE = 52  # longer code gets a name, so that lines fit
LONG = 120


class BodyPrinter:
    """Collects `statements`. `load` gives the expression that loads a leaf, or "" for one that is at hand under its own name."""

    def __init__(
        self,
        program: Program,
        printer: TritonPrinter,
        load: Callable[[Leaf], str],
        narrow: Callable[[Leaf], bool],
        taken: set[str],
        inverses: Collection[str] = (),
    ) -> None:
        self.program = program
        self.load = load
        self.statements: list[Statement] = []
        self.taken = set(taken)
        self.names: dict[tuple[Node, Axes], str] = {}
        self.sums: set[Node] = set()  # summed up by loops
        self.uses = effective_uses(program)
        data = [leaf for leaf in leaves_of(program) if len(leaf.axes) > 1 or leaf.axes not in (("c",), ())]
        self.data = dependents(program.outputs.values(), data)
        self.inverses = inverses
        self.tiles = TilePrinter(printer, self.operand, self.held, self.is_exact, narrow, self.is_inline)
        self.rounded = rounded_tiles(program, self.is_exact) & self.data
        self.narrow = narrow
        self.limit = INLINE

    def is_exact(self, product: Contract) -> bool:
        """Coefficients of gates, and solves: their operands keep float32."""
        return is_solve(product, self.inverses) or not self.data & set(product.args)

    def result(self, node: Node) -> Code:
        """The code of an output, in its natural orientation; what it needs is in `statements` then."""
        return self.operand(node, node.axes) if self.tiles.constant(node) is None else self.tiles.full(node, node.axes)

    def named_result(self, node: Node, name: str) -> str:
        """The same as a variable of its own."""
        code = self.tiles.full(node, node.axes).text
        if code in self.names.values():
            return code
        return self.assign(node, node.axes, name, code)

    def held(self, node: Node) -> Axes | None:
        """The orientation in which a tile has a name; that of its axes if it has one in both."""
        base, order = resolve(node, node.axes)
        if (base, order) in self.names:
            return node.axes
        return node.axes[::-1] if (base, order[::-1]) in self.names else None

    def operand(self, node: Node, order: Axes) -> Code:
        """A tile as it stands in an expression: its name, or its code where nothing else reads it."""
        base, order = resolve(node, order)
        size = len(order)
        if (base, order) in self.names:
            return Code(self.names[base, order], size=size)
        if (base, order[::-1]) in self.names and not (is_product(base) and size == 2 and self.wanted_turned(base)):
            return Code(f"tl.trans({self.names[base, order[::-1]]})", size=size)
        if isinstance(base, Leaf):
            return self.leaf(base, order)
        if not self.needs_statement(base):
            code = self.short_code(base, order)
            if len(code.text) <= self.limit or is_transparent(base):
                return code
            return Code(self.assign(base, order, f"x{len(self.names)}", code.text), size=size)
        if not is_product(base) and order != base.axes:
            name = self.statement(base, base.axes)
            return Code(f"tl.trans({name})", size=size)
        return Code(self.statement(base, order), size=size)

    def name_now(self, node: Node) -> None:
        """A variable for a tile that later code reads, if it does not stand for itself."""
        node, _ = resolve(node, node.axes)
        while is_broadcast(node):
            node, _ = resolve(node.args[0], node.args[0].axes)
        if isinstance(node, Leaf):
            self.operand(node, node.axes)
        elif not (isinstance(node, Map) and not node.args) and self.held(node) is None:
            self.statement(node, node.axes)

    def hold(self, node: Node, name: str) -> None:
        """A tile is at hand as a variable that other code assigned."""
        self.names[node, node.axes] = name
        self.sums.add(node)

    def forget(self, ends: Callable[[Node], bool]) -> None:
        """Tiles for which `ends` holds are no longer at hand; their names are free."""
        for node, order in [key for key in self.names if ends(key[0])]:
            self.taken.discard(self.names.pop((node, order)))

    def short_code(self, node: Node, order: Axes) -> Code:
        """The code of a tile; where it is too long for a line, its parts get names first."""
        code = self.tiles.code(node, order)
        if len(code.text) <= LONG:
            return code
        limit, self.limit = self.limit, 12
        code = self.tiles.code(node, order)
        self.limit = limit
        return code

    def wanted_turned(self, base: Node) -> bool:
        """A product that has a name in one orientation is computed again for the other."""
        return isinstance(base, Contract | Map) and base not in self.sums

    def leaf(self, leaf: Leaf, order: Axes) -> Code:
        load = self.load(leaf)
        name = self.fresh(self.program.label(leaf))
        if load:
            self.statements.append(Statement((f"{name} = {load}",), name, bytes_of(leaf, self.narrow(leaf))))
        self.names[leaf, leaf.axes] = name
        return Code(name if order == leaf.axes else f"tl.trans({name})", size=len(order))

    def is_inline(self, node: Node) -> bool:
        return not self.needs_statement(node) and (node, node.axes) not in self.names

    def needs_statement(self, node: Node) -> bool:
        if is_broadcast(node) or (isinstance(node, Map) and not node.args):
            return False
        return node in self.program.labels or self.uses[node] > 1

    def statement(self, node: Node, order: Axes) -> str:
        label = self.program.labels.get(node)
        code = self.short_code(node, order).text
        name = label.name if label else f"x{len(self.names)}"
        if order != node.axes:
            name += "_turned"
        return self.assign(node, order, name, code)

    def assign(self, node: Node, order: Axes, name: str, code: str) -> str:
        name = self.fresh(name)
        self.names[node, order] = name
        rounded = node in self.rounded
        if rounded:
            code = f"({code}).to(DOT)"
        size = bytes_of(node, rounded)
        if len(name) + len(code) > LONG:
            self.statements.append(Statement(tuple(folded(name, code)), name, size))
            return name
        line = f"{name} = {code}"
        comment = self.comment(node)
        self.statements.append(Statement((line + comment if len(line + comment) + 8 <= WIDTH else line,), name, size))
        return name

    def comment(self, node: Node) -> str:
        label = self.program.labels.get(node)
        if label is None:
            return ""
        try:
            return f"  # {equation(self.program, node)}"
        except InternalError:
            return f"  # {label.letters}"

    def fresh(self, name: str) -> str:
        number, base = 1, name
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name


def bytes_of(node: Node, narrow: bool) -> int:
    """What a tile of 64 by 64 takes, and what fewer axes take."""
    return int(64 ** len(node.axes)) * (2 if narrow else 4)


def rounded_tiles(program: Program, is_exact: Callable[[Contract], bool]) -> set[Node]:
    """Tiles of two axes that nothing but products reads, which round them to the type of the tokens."""
    rounding = {node for node in nodes_of(program) if isinstance(node, Contract) and not is_exact(node)}
    others = {arg for node in nodes_of(program) if node not in rounding for arg in node.args} | set(program.outputs.values())
    return {arg for node in rounding for arg in node.args if len(arg.axes) == 2} - others


def folded(name: str, code: str) -> list[str]:
    """A long sum with a term a line, and a long term with a factor a line."""
    terms = [row for term in split(code, (" + ", " - ")) for row in (split(term, (" * ",)) if len(term) > LONG else [term])]
    return [f"{name} = (", *(f"    {row}" for row in terms), ")  # fmt: skip"]


def split(code: str, operators: tuple[str, ...]) -> list[str]:
    """Code before each of the operators that stand outside of brackets."""
    rows, depth, start = [], 0, 0
    for index, letter in enumerate(code):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and code[index : index + 3] in operators:
            rows.append(code[start:index])
            start = index + 1
    return [*rows, code[start:]]


def resolve(node: Node, order: Axes) -> tuple[Node, Axes]:
    """The tile behind renamings, and the orientation in its own axes."""
    while isinstance(node, Rename):
        order = tuple(node.old if axis == node.new else axis for axis in order)
        (node,) = node.args
    return node, order


def effective_uses(program: Program) -> Counter[Node]:
    """How often the code of each tile would stand in expressions if nothing had a name: renamings and broadcasts are looked through."""
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
