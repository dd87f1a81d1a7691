"""Tiles as mathematics: a tile with a label is written by its letters, any other is written out down to the nearest labels.

Tokens are indices: β_t, G_tj; sums over tokens say so. The rest of a tile is a number, a row (its entries are channels) or a matrix:

    a b       a product of matrices, where a row multiplies from the left and rowᵀ is a column; or a number in front
    a · b     entrywise; a row runs along the columns of a matrix, a column (rowᵀ) along its rows
    aᵀ ⊗ b    the outer product of two rows
    [j ≤ t]   1 where the condition holds, 0 elsewhere

The channels that a sum, a norm or a softmax runs over stand behind it as K, N or V, where they are not all of a row's or a matrix's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import sympy as sp

from miras_compiler.derive.dialects import UNICODE, Dialect
from miras_compiler.derive.expression_text import ATOM, BIG_SUM, POWER, PRODUCT, SUM, ExpressionWriter, Text
from miras_compiler.derive.gate_letters import leaf_letters
from miras_compiler.derive.patterns import distribution, inner_sum, is_segment, squared, whole_reduction
from miras_compiler.errors import InternalError
from miras_compiler.ir.build import length, ordered, placeholder
from miras_compiler.ir.nodes import (
    TOKEN_AXES,
    Axes,
    Contract,
    Cumulate,
    ForwardSubstitute,
    Leaf,
    Map,
    Mask,
    Node,
    Reduce,
    Rename,
    Root,
    Start,
    TriangularSolve,
)
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of

FREE = {"c": "lit", "i": "ijl", "j": "jil", "r": "rsl", "s": "srl"}  # letters for an axis that a sum runs over, the first that is free


def without_automatic(program: Program) -> Program:
    """The program with labels for those values only that have a name in the mathematics."""
    return replace(program, labels={node: label for node, label in program.labels.items() if not label.automatic})


def equation(program: Program, node: Node, dialect: Dialect = UNICODE) -> str:
    """ "z₁ = k W₁": a labelled tile and its definition in other labelled tiles; the letters alone where they say it all."""
    left, right = TileWriter(program, dialect).sides(node)
    return left if right in ("", left) else f"{left} = {right}"


def definition(program: Program, node: Node, dialect: Dialect = UNICODE) -> str:
    """The right side of a tile's equation."""
    return TileWriter(program, dialect).sides(node)[1]


def channels(axes: Axes) -> Axes:
    return tuple(axis for axis in axes if axis not in TOKEN_AXES)


class TileWriter(ExpressionWriter):
    """`indices` are the letters of token axes, `context` the channels of the Map that is being written; `met` are the labelled tiles
    and the multipliers that have been named so far.
    """

    def __init__(self, program: Program, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.program = program
        self.by_token = any("c" in node.axes for node in program.labels)
        self.indices: dict[str, str] = {}
        self.context: Axes = ()
        self.bound: Mapping[sp.Symbol, Node] = {}
        self.met: dict[Node, None] = {}
        self.texts: dict[sp.Symbol, str] = {}  # letters that stand for a text

    def sides(self, node: Node) -> tuple[str, str]:
        """Letters and definition of a tile."""
        self.indices = self._canonical(node.axes)
        label = self.program.labels.get(node)
        left = self.dialect.name(label.letters, self._index(node.axes)) if label else ""
        if isinstance(node, Leaf):
            return left, ""
        if label and label.definition:
            return left, self.call_of(label.definition, node)
        return left, self.defined(node)[0]

    def call_of(self, function: str, node: Node) -> str:
        """A function by its name, of the one labelled tile that it is computed from."""
        stack, seen = list(node.args), set()
        while stack:
            tile = stack.pop()
            label = self.program.labels.get(tile)
            if (label is not None and not label.automatic) or isinstance(tile, Leaf):
                return self.dialect.call(function, "", self.tile(tile)[0])
            if tile not in seen:
                seen.add(tile)
                stack.extend(reversed(tile.args))
        raise InternalError(f"{function} of nothing that has a name")

    def _canonical(self, axes: Axes) -> dict[str, str]:
        """Tokens of a definition are t, then j; rows of windows r, then s. A rule at one token keeps j for the rows of its window."""
        tokens = [axis for axis in axes if axis in TOKEN_AXES]
        if not self.by_token:
            return {axis: axis for axis in tokens}
        first = {"r": "r", "s": "r"}
        second = {"s": "s", "r": "s"}
        return {axis: (first.get(axis, "t") if place == 0 else second.get(axis, "j")) for place, axis in enumerate(tokens)}

    def _index(self, axes: Axes) -> str:
        return "".join(self.indices.get(axis, axis) for axis in axes if axis in TOKEN_AXES)

    @contextmanager
    def running(self, axis: str, letter: str = "") -> Iterator[str]:
        """A letter for a token axis that is summed over."""
        taken = set(self.indices.values())
        chosen = letter or next(each for each in FREE[axis] + "mnopq" if each not in taken)
        before = dict(self.indices)
        self.indices[axis] = chosen
        yield chosen
        self.indices = before

    @contextmanager
    def inside(self, context: Axes, bound: Mapping[sp.Symbol, Node]) -> Iterator[None]:
        before = self.context, self.bound
        self.context, self.bound = channels(context), bound
        yield
        self.context, self.bound = before

    def tile(self, node: Node) -> Text:
        """A tile as it stands in the definition of another."""
        if node in self.program.labels:
            self.met[node] = None
            return self.dialect.name(self.program.labels[node].letters, self._index(node.axes)), ATOM
        return self.defined(node)

    def placed(self, node: Node) -> Text:
        """A tile inside an entrywise expression."""
        return self.upright(self.tile(node), channels(node.axes))

    def upright(self, text: Text, own: Axes) -> Text:
        """A row that runs along the rows of the result stands upright."""
        if len(self.context) == 2 and own == self.context[:1]:
            return self.dialect.transposed(self.at_least(text, ATOM)), POWER
        return text

    def defined(self, node: Node) -> Text:
        d = self.dialect
        match node:
            case Leaf() | Start():
                return d.name(leaf_letters(node.name), self._index(node.axes)), ATOM
            case Map():
                with self.inside(node.axes, {placeholder(i): arg for i, arg in enumerate(node.args)}):
                    return self.expression(node.expr)
            case Contract(args=(a, b)):
                return self.product_of(a, b, node)
            case Rename(args=(a,)):
                before = dict(self.indices)
                if node.new in self.indices:
                    self.indices[node.old] = self.indices[node.new]
                text = self.tile(a)
                self.indices = before
                return text
            case Reduce(args=(a,)):
                return self.reduced(node, a)
            case Cumulate(args=(a,)):
                return self.cumulated(node, a)
            case Mask(args=(a,)):
                row, column = self.indices[node.row], self.indices[node.column]
                sign = "<" if node.low else "≤"
                condition = d.where(f"{column} {d.less[sign]} {row}")
                if isinstance(a, Map) and a.expr == 1:
                    return condition, ATOM
                return d.dot.join((condition, self.at_least(self.tile(a), PRODUCT))), PRODUCT
            case TriangularSolve(args=(lower, right)) if not node.transposed:
                return self.solved(node, lower, right), SUM
            case Root():
                self.met[node] = None
                return self.root_name(node), ATOM
            case ForwardSubstitute(args=(lower, right, *_)) if not node.transposed:
                return d.call("surprise", "", self.solved(node, lower, right)), ATOM
        raise InternalError(f"no notation for {node!r}")

    def root_name(self, node: Root) -> str:
        roots = [each for each in nodes_of(self.program) if isinstance(each, Root)]  # in the order of computation
        number = "" if len(roots) < 2 else "₁₂₃₄₅₆₇₈₉"[roots.index(node)]
        return self.dialect.name(f"ζ{number}", "")

    def root_condition(self, node: Root) -> str:
        """The equation that a multiplier solves."""
        axes = tuple(dict.fromkeys((*node.over, *node.axes)))
        with self.inside(tuple(sorted(axes, key="crknv".find)), {placeholder(i): arg for i, arg in enumerate(node.args)}):
            self.letters = {"zeta": self.upright((self.root_name(node), ATOM), channels(node.axes))[0]}
            text = self.at_least(self.expression(node.expr), BIG_SUM)
        return f"{self.dialect.total(_uppercase(node.over), text)} = {self.number_text(node.total)[0]}"

    def solved(self, node: Node, lower: Node, right: Node) -> str:
        """R_t − Σ_{j<t} L_tj X_j."""
        d = self.dialect
        row, column = lower.axes[:2]
        first = self.indices[node.axes[0]]
        self.indices = {row: first, column: first}
        entering = self.at_least(self.tile(right), BIG_SUM)
        second = "s" if first == "r" else "j"
        self.indices = {row: first, column: second}
        weight = self.at_least(self.tile(lower), POWER)
        label = self.program.labels.get(node)
        unknown = d.name(label.letters if label else "X", second)
        joined = (d.times if len(lower.axes) > 2 else d.dot).join((weight, unknown))
        return f"{entering} {d.sign} {d.total(f'{second}<{first}', joined)}"

    def product_of(self, a: Node, b: Node, node: Contract) -> Text:
        """A sum over one shared axis."""
        d = self.dialect
        if len(node.over) != 1:
            raise InternalError(f"no notation for {node!r}")
        (shared,) = node.over
        if shared in TOKEN_AXES:
            with self.running(shared) as index, self.inside(node.axes, {}):
                one, two = channels(a.axes), channels(b.axes)
                left, right = (self.at_least(self.placed(each), POWER) for each in (a, b))
                joint = d.outer if one and two else d.dot
                if len(one) > len(two) == 0:
                    left, right = right, left
                return d.total(index, f"{left}{joint}{right}"), BIG_SUM
        return self.matrix_product(a, b, shared)

    def matrix_product(self, a: Node, b: Node, shared: str) -> Text:
        """Along a channel axis: a row stands on the left, a row on the right is turned into a column."""
        one, two = channels(a.axes), channels(b.axes)
        if len(one) == 2 and len(two) == 1:
            return self.matrix_product(b, a, shared)
        left, right = self.at_least(self.tile(a), POWER), self.at_least(self.tile(b), POWER)
        if len(one) == 2 and one[0] == shared:
            left = self.dialect.transposed(left)
        if two[-1] == shared:
            right = self.dialect.transposed(right)
        return f"{left}{self.dialect.dot}{right}", PRODUCT

    def reduced(self, node: Reduce, inside: Node) -> Text:
        d = self.dialect
        if node.axis in TOKEN_AXES and node.kind == "sum":
            with self.running(node.axis) as index:
                return d.total(index, self.at_least(self.tile(inside), BIG_SUM)), BIG_SUM
        over, core = whole_reduction(node, self.program)
        if node.kind == "max":
            return d.call("max", self.some(over, core), self.tile(core)[0]), ATOM
        if (x := squared(core, self.program)) is not None:
            return self.squared_norm(self.tile(x)[0], self.some(over, x))
        factors = inner_sum(core, over[0], self.program) if len(over) == 1 else None
        if factors is not None:
            return self.matrix_product(*factors, over[0])
        return d.total(_uppercase(over), self.at_least(self.tile(core), BIG_SUM)), BIG_SUM

    def some(self, over: Axes, inside: Node) -> str:
        """The axes of a reduction, where it leaves others."""
        return "" if set(over) == set(channels(inside.axes)) else _uppercase(over)

    def cumulated(self, node: Cumulate, inside: Node) -> Text:
        d, at = self.dialect, self.indices[node.axis]
        if is_segment(inside):
            assert isinstance(inside, Mask)
            (rows,) = inside.args
            (source,) = rows.args
            end = f"{self.indices[inside.column]}<l{'<' if node.exclusive else '≤'}{self.indices[inside.row]}"
            with self.running(inside.row, "l"):
                return d.total(end, self.at_least(self.tile(source), PRODUCT)), BIG_SUM
        sign = (">" if node.exclusive else "≥") if node.reverse else "<" if node.exclusive else "≤"
        with self.running(node.axis, "l"):
            return d.total(f"l{sign}{at}", self.at_least(self.tile(inside), PRODUCT)), BIG_SUM

    # Expressions over tiles

    def symbol(self, symbol: sp.Symbol) -> Text:
        if symbol in self.texts:
            return self.texts[symbol], ATOM
        if symbol in self.bound:
            return self.placed(self.bound[symbol])
        if symbol.name in self.letters:
            return self.letters[symbol.name], ATOM
        return symbol.name.removeprefix("dim_").upper(), ATOM

    def channels_of(self, expr: sp.Expr) -> Axes:
        found = {axis for symbol in expr.free_symbols if symbol in self.bound for axis in channels(self.bound[symbol].axes)}
        return ordered(found)

    def product(self, expr: sp.Expr) -> Text:
        return super().product(self.with_functions(expr))

    def with_functions(self, expr: sp.Expr) -> sp.Expr:
        """A product with means and softmaxes in place of the sums that they are made of: each a letter of its own."""
        powers = expr.as_powers_dict()
        for symbol, node in list(self.bound.items()):
            if not isinstance(node, Reduce) or node.kind != "sum" or node in self.program.labels:
                continue
            if powers.get(symbol) == 1 and powers.get(length(node.axis)) == -1:
                text = self.dialect.call("mean", self.some((node.axis,), node.args[0]), self.tile(node.args[0])[0])
                return self.with_functions(expr / symbol * length(node.axis) * self.written(text, node))
            if powers.get(symbol) == -1:
                for other, numerator in list(self.bound.items()):
                    if powers.get(other) == 1 and (found := distribution(numerator, node, self.program)) is not None:
                        source, over = found
                        text = self.dialect.call("softmax", self.some(over, source), self.tile(source)[0])
                        return self.with_functions(expr * symbol / other * self.written(text, numerator))
        return expr

    def written(self, text: str, node: Node) -> sp.Symbol:
        """A letter that stands for a text, over the axes of a tile."""
        stand_in = sp.Symbol(f"text{len(self.texts)}", real=True)
        self.bound = {**self.bound, stand_in: node}
        self.texts[stand_in] = text
        return stand_in


def _uppercase(axes: Axes) -> str:
    return "".join(axis.upper() for axis in axes)
