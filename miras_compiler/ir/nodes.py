"""The tile IR: a dozen nodes over tiles with named axes.

A node is one tile: a dense array whose axes carry names instead of positions, so that the IR needs no transposes. Token axes are
`c`, `i` and `j`, and `r` and `s` for the rows of windows, of which `l` are those before a tile; `k` is the key axis, `n`, `n1`, `n2`, …
the hidden axes of a deep memory, `v` the value axis. A program speaks of one head of one sequence; batch and heads are added by the
printers.

Nodes are immutable and hash-consed: building the same tile twice gives the same object, so equality is identity and common
subexpressions need no pass. Build them with the functions of `build`, which simplify; the constructors here only intern.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakValueDictionary

import sympy as sp

if TYPE_CHECKING:
    from miras_compiler.ir.program import Program

Axes = tuple[str, ...]
AXIS_ORDER = ("c", "i", "j", "r", "s", "l", "p", "p2", "k", "n", *(f"n{i}" for i in range(1, 17)), "v")
TOKEN_AXES = frozenset("cijrs")
PAST = "l"  # the tokens before a tile that its windows reach back to
MASKS = ("valid", "owner", "earlier")  # inputs of 0 and 1 that say which tokens or rows are there, and whose


class Node:
    """One tile: `axes` in the order in which printers lay it out, `args` the tiles it is computed from.

    `is_sound` is set by the verifier, which looks at a tile once.
    """

    __slots__ = ("__weakref__", "args", "axes", "fields", "is_sound")
    is_sound: bool
    axes: Axes
    args: tuple[Node, ...]
    fields: tuple[Hashable, ...]
    _interned: ClassVar[WeakValueDictionary[Any, Node]] = WeakValueDictionary()

    def __new__(cls, axes: Axes, args: tuple[Node, ...] = (), fields: tuple[Hashable, ...] = ()) -> Node:
        key = (cls, axes, args, fields)
        node = Node._interned.get(key)
        if node is None:
            node = object.__new__(cls)
            node.axes, node.args, node.fields = axes, args, fields
            node.is_sound = False
            Node._interned[key] = node
        return node

    def __repr__(self) -> str:
        return f"{type(self).__name__}{list(self.axes)}{self.fields or ''}"


class Leaf(Node):
    """A tile that the program is given; `name` is the name of the argument."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self.fields[0])


class Input(Leaf):
    """Tokens, gates and parameters."""

    __slots__ = ()


class State(Leaf):
    """A value that the previous token or tile handed on."""

    __slots__ = ()


class Map(Node):
    """One expression, entry by entry. Arguments are the symbols `x0`, `x1`, … of `expr`; those with fewer axes are broadcast by name."""

    __slots__ = ()

    @property
    def expr(self) -> sp.Expr:
        return self.fields[0]


class Contract(Node):
    """Sum over every axis that the two arguments share; with two axes each and one shared, a matrix product."""

    __slots__ = ()

    @property
    def over(self) -> Axes:
        return tuple(a for a in self.args[0].axes if a in self.args[1].axes)


class Rename(Node):
    """The same tile with axis `old` called `new`."""

    __slots__ = ()

    @property
    def old(self) -> str:
        return str(self.fields[0])

    @property
    def new(self) -> str:
        return str(self.fields[1])


class Start(Node):
    """A leaf, or a constant, as a chunk that begins with the tile finds it: itself. In a chunk that goes on it is a leaf called `name`."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return str(self.fields[0])


class Reduce(Node):
    """Sum or maximum over one axis."""

    __slots__ = ()

    @property
    def kind(self) -> Literal["sum", "max"]:
        return self.fields[0]  # type: ignore[return-value]

    @property
    def axis(self) -> str:
        return str(self.fields[1])


class Root(Node):
    """The number ζ for which the sum of `expr` over the axes `over` is `total`; arguments are x0, x1, … of `expr`, which falls in ζ."""

    __slots__ = ()

    @property
    def expr(self) -> sp.Expr:
        return self.fields[0]

    @property
    def total(self) -> sp.Expr:
        return self.fields[1]

    @property
    def over(self) -> Axes:
        return self.fields[2]  # type: ignore[return-value]


class Cumulate(Node):
    """Cumulative sum along a token axis; `reverse` runs from the end, `exclusive` leaves the entry itself out."""

    __slots__ = ()

    @property
    def axis(self) -> str:
        return str(self.fields[0])

    @property
    def reverse(self) -> bool:
        return bool(self.fields[1])

    @property
    def exclusive(self) -> bool:
        return bool(self.fields[2])


class Mask(Node):
    """Keeps the entries with `low` ≤ row − column, fills the others with 0. `low` 0 is causal, 1 is strictly causal."""

    __slots__ = ()

    @property
    def row(self) -> str:
        return str(self.fields[0])

    @property
    def column(self) -> str:
        return str(self.fields[1])

    @property
    def low(self) -> int:
        return int(self.fields[2])  # type: ignore[call-overload, no-any-return]


class TriangularSolve(Node):
    """X with (I + L) X = R, L strictly lower triangular `[row, column]`, or `[row, column, v]` with one system per value channel.

    A right side on the row axis gives X on the column axis; one on the column axis gives the solution of the transposed system on
    the row axis.
    """

    __slots__ = ()

    @property
    def transposed(self) -> bool:
        return self.args[0].axes[1] in self.args[1].axes

    @property
    def batch(self) -> Axes:
        """Axes of the triangle beside its two: there is one system for every entry of them."""
        return self.args[0].axes[2:]


FACTORS = ("scores", "rows", "columns", "logs")


class Substitution(Node):
    """Rows that are computed one after another, each from those before: the fields of ForwardSubstitute and its kin."""

    __slots__ = ()

    @property
    def phi(self) -> Program:
        return self.fields[0]  # type: ignore[return-value]

    @property
    def by_channel(self) -> bool:
        return len(self.args[0].axes) > 2

    @property
    def names(self) -> tuple[str, ...]:
        return self.fields[1]  # type: ignore[return-value]

    @property
    def transposed(self) -> bool:
        return bool(self.fields[2])

    @property
    def together(self) -> int:
        return int(self.fields[3])  # type: ignore[call-overload, no-any-return]

    @property
    def exclusive(self) -> bool:
        return bool(self.fields[4])

    @property
    def factors(self) -> dict[str, Node]:
        """Of the weights of every channel the factors beside L, by name: some of `rows`, `columns` and `logs`, as Decayed has them."""
        return {name: arg for name, arg in zip(self.names, self.args[2:], strict=True) if name in FACTORS}


class ForwardSubstitute(Substitution):
    """X with X_t = φ(R_t − Σ_{s<t} L_ts X_s), one row t after another, L strictly lower triangular `[row, column]`, or
    `[row, column, v]` where every value channel has a triangle of its own.

    Arguments are L, R `[row, v]` and further rows of φ, tiles with the row axis or without; `phi` is a program of one row, whose leaf
    `z` is bound to the bracket and whose other leaves are called `names`. The result is over the column axis. `transposed` runs from
    the last row to the first, over L's columns; then R and the rows are over the column axis, and the result over the row axis.
    `together` rows in a row are not coupled by L: an invitation to compute them at once.

    Among the rows may be factors of a weight per channel, called as Decayed calls them: in place of L_ts stands
    L[t, s] rows[t, channel] columns[s, channel] D[t, s, channel], and no tile has three axes.
    """

    __slots__ = ()


class Decayed(Node):
    """One derivative of F = Σ scores[row, column] rows[row, channel] columns[column, channel] D[row, column, channel], by its `part`.

    D is the decay of each channel between two tokens, exp(Σ_{column<l≤row} logs[l, channel]), and 0 where row − column < `low`; where
    it is `exclusive`, the log of the row itself stays out. Arguments are the factors that the derivative has: all but `part`, and all
    four for the derivative by the logs. Tiles of three axes stay a matter of printers.
    """

    __slots__ = ()

    @property
    def part(self) -> str:
        return str(self.fields[0])

    @property
    def low(self) -> int:
        return int(self.fields[1])  # type: ignore[call-overload, no-any-return]

    @property
    def exclusive(self) -> bool:
        return bool(self.fields[2])

    @property
    def factors(self) -> dict[str, Node]:
        """The arguments by the names of the factors that they are."""
        return dict(zip(factors_of(self.part), self.args, strict=True))


def factors_of(part: str) -> tuple[str, ...]:
    """The factors that the derivative by one of them has."""
    return tuple(name for name in FACTORS if name != part or part == "logs")
