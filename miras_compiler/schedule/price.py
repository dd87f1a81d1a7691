"""The price of a tile: seconds of a GPU to compute it, to write it and to read it.

The figures only weigh storing against computing again; they are those of an H100 as kernels like these reach them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import sympy as sp

from miras_compiler.ir.build import placeholder
from miras_compiler.ir.nodes import (
    PAST,
    TOKEN_AXES,
    Contract,
    Cumulate,
    Decayed,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Start,
    Substitution,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import dependents, nodes_of, topological
from miras_compiler.passes.brackets import Brackets
from miras_compiler.passes.invert import TriangularInverse
from miras_compiler.schedule.segments import segments_of

LENGTHS = {"c": 64, "i": 64, "j": 64, "k": 64, "v": 64} | {f"n{i}": 256 for i in ("", *range(1, 17))}
BYTES = 3.0e12  # bytes a second between memory and chip
PRODUCTS = {"walk": 20e12, "each": 250e12}  # operations of tensor cores a second; a walk has few programs, which wait for each other
OTHERS = {"walk": 1.5e12, "each": 15e12}
LATENCY = {"walk": 2e-10, "each": 5e-11}  # of one load, shared between programs
BETWEEN = TOKEN_AXES | {PAST}  # axes of tokens and of those before a tile
SCAN = 12  # operations per entry of a cumulative sum
ROW = 1e-7  # seconds of a row of a substitution, which waits for the row before
SEGMENTS = 4  # of sums over segments
FUNCTION = 8  # and of exp, erf, …
KEYS = ("d_q", "d_k", "d_erase_key", "d_erase_write_key")
ROWS = ("d_v", *KEYS, *(f"{name}_features" for name in KEYS))  # gradients in the type of the tokens


class Prices:
    """In seconds per tile, for the lengths of the axes; `way` is "walk" or "each". Tiles `again` are never stored."""

    def __init__(self, lengths: Mapping[str, int] = LENGTHS, narrow: Collection[Node] = (), again: Collection[Node] = ()) -> None:
        self.lengths = lengths
        self.narrow, self.again = set(narrow), set(again)

    def size(self, node: Node) -> int:
        return math.prod(self.lengths[axis] for axis in node.axes)

    def bytes(self, node: Node) -> int:
        return self.size(node) * (2 if node in self.narrow else 4)

    def moved(self, node: Node, way: str) -> float:
        """To read a tile once, or to write it."""
        return self.bytes(node) / BYTES + LATENCY[way]

    def computed(self, node: Node, way: str) -> float:
        size = self.size(node)
        match node:
            case Contract():
                return 2 * size * math.prod(self.lengths[axis] for axis in node.over) / PRODUCTS[way]
            case Decayed():
                cube = self.lengths["c"] * self.size(node.factors["logs"])
                return 6 * math.log2(self.lengths["c"]) * cube / PRODUCTS[way]
            case TriangularInverse():
                return 4 * math.log2(self.lengths["c"]) * size * self.lengths["c"] / PRODUCTS[way] * 2
            case Brackets():
                return ROW * self.lengths[node.axes[0]]
            case Cumulate():
                return (SEGMENTS if segments_of(node) else SCAN) * size / OTHERS[way]
            case Reduce(args=(inside,)):
                return self.size(inside) / OTHERS[way]
            case Map():
                return operations(node.expr) * size / OTHERS[way]
            case Mask():
                return size / OTHERS[way]
        return 0.0


@lru_cache(maxsize=4096)
def operations(expr: sp.Expr) -> int:
    """The operations per entry of a tile that is computed entry by entry."""
    if expr == placeholder(0):
        return 0
    functions = sum(1 for e in sp.preorder_traversal(expr) if isinstance(e, sp.Function | sp.exp))
    return int(sp.count_ops(expr)) + FUNCTION * functions


def narrow_tiles(*programs: Program) -> set[Node]:
    """Tiles that are stored in the type of the tokens.

    Those with an axis of the memory: whatever sums them up averages the errors; but no logarithms, whose errors an exponential makes
    relative ones, and no terms of a gate's gradient, which nothing sums up behind them. Of those between tokens, which may be coefficients
    of gates that multiply one another, and of those that slopes are taken at, only tiles that products round anyway; no inverse (see
    `is_solve`).
    """
    readers: dict[Node, set[Node]] = {}
    nodes = [node for program in programs for node in nodes_of(program)]
    for node in nodes:
        for arg in node.args:
            readers.setdefault(arg, set()).add(node)
    logarithms = exponents(nodes)
    outputs = {node for program in programs for node in program.outputs.values()}
    bent, terms = slopes_of_brackets(nodes), terms_of_gates(programs)

    def is_rounded(node: Node) -> bool:
        """True if products round everything that the tile goes into."""
        return all(is_rounding(reader, node) for reader in readers.get(node, ()))

    def is_rounding(reader: Node, node: Node) -> bool:
        if isinstance(reader, Contract) or is_factor(reader):
            return True
        return (isinstance(reader, Rename) or is_term(reader, node)) and (reader in outputs or is_rounded(reader))

    def is_factor(reader: Node) -> bool:
        """A product of tiles that only products and sums read."""
        return (
            isinstance(reader, Map)
            and isinstance(reader.expr, sp.Mul)
            and all(isinstance(r, Contract | Reduce) or (isinstance(r, Rename) and is_rounded(r)) for r in readers.get(reader, ()))
        )

    def is_narrow(node: Node) -> bool:
        if isinstance(node, Leaf):
            return True
        if isinstance(node, TriangularInverse | Brackets) or node in outputs | logarithms | terms:
            return False
        return not (BETWEEN.issuperset(node.axes) or node in bent) or is_rounded(node)

    return {node for node in nodes if len(node.axes) == 2 and is_narrow(node)}


def exponents(nodes: Collection[Node]) -> set[Node]:
    """Tiles that exponentials read, entry by entry or as sums."""
    found: set[Node] = set()
    for node in reversed(list(nodes)):
        if isinstance(node, Decayed | Substitution) and "logs" in node.factors:
            found.add(node.factors["logs"])
        elif isinstance(node, Map):
            inside = {symbol for each in node.expr.atoms(sp.exp) for symbol in each.free_symbols}
            found.update(arg for i, arg in enumerate(node.args) if placeholder(i) in inside or node in found)
        elif node in found and isinstance(node, Rename | Reduce | Cumulate | Mask):
            found.update(node.args)
    return found


def slopes_of_brackets(nodes: Collection[Node]) -> set[Node]:
    """Tiles that are computed from the brackets of a substitution entry by entry, or sum them up: the arguments of functions with kinks.

    The reverse substitution is linear in its own brackets.
    """
    found: set[Node] = set()
    linear = dependents(nodes, [node for node in nodes if isinstance(node, Brackets) and node.transposed])
    for node in topological(nodes):
        is_mapped = isinstance(node, Map | Reduce | Rename) and any(arg in found for arg in node.args)
        if node not in linear and (is_mapped or isinstance(node, Brackets)):
            found.add(node)
    return found


def is_term(reader: Node, node: Node) -> bool:
    """True if the reader adds up tiles, this one among them."""
    if not isinstance(reader, Map):
        return False
    x = placeholder(reader.args.index(node))
    terms = [term for term in sp.Add.make_args(reader.expr) if x in term.free_symbols]
    return len(terms) == 1 and terms[0] in (x, -x)


def terms_of_gates(programs: Iterable[Program]) -> set[Node]:
    """Tiles that gradients of gates, which are float32, are sums of."""
    found: set[Node] = set()
    outputs = {name: node for program in programs for name, node in program.outputs.items() if TOKEN_AXES.intersection(node.axes)}
    waiting = [node for name, node in outputs.items() if name.startswith("d_") and name not in ROWS]
    while waiting:
        node = waiting.pop()
        for arg in node.args:
            if arg not in found and (isinstance(node, Rename) or is_term(node, arg)):
                found.add(arg)
                waiting.append(arg)
    return found


def is_free(node: Node) -> bool:
    """True if a tile costs nothing to have again: another name, a broadcast, a constant."""
    return isinstance(node, Rename | Start) or (isinstance(node, Map) and (not node.args or bool(node.expr == placeholder(0))))
