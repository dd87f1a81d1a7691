"""Words: names for tiles that have none in the mathematics, made of the names of their arguments.

k Wᵀ        k_W                the gradient of x                  d_x
Σ a b       a_b                the part of it that comes through y         d_x_from_y
Σ a²        a_squared          the part that is summed up early   d_x_early
exp(a)      exp_a
"""

from __future__ import annotations

import sympy as sp

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import Contract, Cumulate, Decayed, Leaf, Map, Mask, Node, Reduce, Rename, Start
from miras_compiler.ir.program import Label, Program

LONGEST = 32  # letters of a name
POWERS = {2: "squared", 3: "cubed", sp.Rational(1, 2): "root", -1: "inverse"}


def gradient(label: Label, through: Label | None = None) -> Label:
    """The label of a gradient, by the name of its tile; of the part of it that comes `through` one of its readers."""
    behind = f"_from_{through.name}" if through else ""
    letters = f"∂{label.letters}" + (f"({through.letters})" if through else "")
    return Label(f"d_{label.name}{behind}", letters, label.section and f"d_{label.section}", label.origin, automatic=True)


def part(label: Label, which: str) -> Label:
    """The label of an "early" or "late" part of a sum."""
    return Label(f"{label.name}_{which}", f"{label.letters}({which})", label.section, label.origin, automatic=True)


class Words:
    """Finds the words of the tiles of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.known: dict[Node, Label | None] = {}

    def of(self, node: Node) -> Label | None:
        """The label of a tile, or one made of its arguments; None where that would be long."""
        if node not in self.known:
            self.known[node] = self.given(node) or self.made(node)
        return self.known[node]

    def given(self, node: Node) -> Label | None:
        """The label that a tile has, or that was suggested for it."""
        found = self.program.labels.get(node) or self.program.suggested.get(node)
        return Label(node.name, node.name, "", "") if found is None and isinstance(node, Leaf) else found

    def made(self, node: Node) -> Label | None:
        """A label made of those of the arguments."""
        match node:
            case Rename(args=(inside,)) | Start(args=(inside,)) | Mask(args=(inside,)):
                return self.of(inside)
            case Contract(args=(a, b)):
                return joined(self.of(a), self.of(b))
            case Decayed():
                return joined(*(self.of(arg) for name, arg in node.factors.items() if name != "logs"))
            case Reduce(args=(inside,)):
                found = self.of(inside)
                is_product = isinstance(inside, Map) and isinstance(inside.expr, sp.Mul | sp.Pow) and inside not in self.program.labels
                return found if is_product else joined(found, word("sum" if node.kind == "sum" else "max"))
            case Cumulate(args=(inside,)):
                return joined(self.of(inside), word("behind" if node.reverse else "before"))
            case Map():
                return self.mapped(node, node.expr)
        return None

    def mapped(self, node: Map, expr: sp.Expr) -> Label | None:
        """A label for an expression of a Map: of its factors, or of the first terms of a sum."""
        if expr.is_Symbol:
            at = [i for i in range(len(node.args)) if placeholder(i) == expr]
            return self.of(node.args[at[0]]) if at else None
        if expr.is_number:
            return None
        if isinstance(expr, sp.Mul):
            factors = sorted((each for each in expr.args if self.counts(node, each)), key=lambda each: self.width(node, each))
            return joined(*(self.mapped(node, each) for each in factors)) if 0 < len(factors) < 4 else None
        if isinstance(expr, sp.Pow) and expr.exp in POWERS:
            return joined(self.mapped(node, expr.base), word(POWERS[expr.exp]))
        if isinstance(expr, sp.Function | sp.exp) and self.counts(node, expr):
            inside = next((each for each in expr.args if self.counts(node, each)), None)
            name = "exp" if isinstance(expr, sp.exp) else type(expr).__name__
            return joined(word(name), None if inside is None else self.mapped(node, inside))
        if isinstance(expr, sp.Add):
            terms = sorted((each for each in expr.args if self.counts(node, each)), key=lambda each: -self.width(node, each))
            if len(terms) == 1:
                return self.mapped(node, terms[0])
            return joined(*(self.mapped(node, each) for each in terms[:1]), word("and_more"))
        return None

    def counts(self, node: Map, expr: sp.Expr) -> bool:
        """True if tiles are in it."""
        return any(placeholder(i) in expr.free_symbols for i in range(len(node.args)))

    def width(self, node: Map, expr: sp.Expr) -> int:
        return max((len(arg.axes) for i, arg in enumerate(node.args) if placeholder(i) in expr.free_symbols), default=0)


def word(name: str) -> Label:
    return Label(name, name, "", "")


def joined(*labels: Label | None) -> Label | None:
    """One label of several; None where one is missing, or the name would be long."""
    found = [label for label in labels if label is not None]
    name = "_".join(label.name for label in found)
    if not found or len(found) < len(labels) or len(name) > LONGEST:
        return None
    section = next((label.section for label in found if label.section), "")
    origin = next((label.origin for label in found if label.origin), "")
    return Label(name, "·".join(label.letters for label in found) if len(found) > 1 else found[0].letters, section, origin, automatic=True)
