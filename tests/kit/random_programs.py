"""Programs drawn by hypothesis.

A program is a list of operations on earlier tiles. It is built twice: with the functions of `build`, and with the bare constructors,
which simplify nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import sympy as sp
from hypothesis import strategies as st

from kit.expression_value import Array
from miras_compiler.expressions.activations import gelu, gelu_tanh, silu
from miras_compiler.expressions.symbols import (
    Power0,
    larger,
    letter,
    magnitude,
    normal_cdf,
    power0,
    relu,
    rsqrt,
    sigmoid,
    signum,
    smaller,
    softplus,
    where_positive,
)
from miras_compiler.ir import build, rows
from miras_compiler.ir.nodes import TOKEN_AXES, Contract, Cumulate, Map, Mask, Node, Reduce, Rename, TriangularSolve
from miras_compiler.ir.program import Program
from miras_compiler.ir.verify import verify_program

LENGTHS = {"c": 3, "i": 3, "j": 3, "k": 2, "n": 4, "v": 4}
LEAVES = [
    ("a", ("c", "k")),
    ("b", ("c", "v")),
    ("w", ("k", "v")),
    ("g", ("c",)),
    ("s", ()),
    ("l", ("c", "j")),
    ("r", ("v", "j")),
    ("h", ("n",)),
]
X, Y, HALF = letter("x0"), letter("x1"), sp.Rational(1, 2)
ONE = [
    X, -X, 2 * X, X / 3 + 1, X**2, X**3 / 4, sp.exp(-(X**2)), sp.tanh(X), sp.cosh(X / 4), sp.sinh(X / 4), sp.log(1 + X**2), sigmoid(X),
    softplus(X), normal_cdf(X), gelu(X), gelu_tanh(X), silu(X), relu(X), magnitude(X), rsqrt(1 + X**2), signum(X) * X**2,
    power0(magnitude(X), sp.Rational(3, 2)), Power0(1 + X**2, -HALF), where_positive(X, sp.sin(0) + X**2, sp.tanh(X)),
]  # fmt: skip
TWO = [X + Y, X - Y, X * Y, X * Y / 2 - X, smaller(X, Y), larger(X, 2 * Y), where_positive(X, Y, 2 * Y), X * sigmoid(Y), X / (1 + Y**2)]
Operation = tuple[str, tuple[int, ...], object]


class Plain:
    """The functions of `build` without their simplifications."""

    @staticmethod
    def entrywise(expr: sp.Expr, *args: Node) -> Node:
        return Map(build.ordered(axis for arg in args for axis in arg.axes), args, (expr,))

    @staticmethod
    def total(node: Node, axis: str) -> Node:
        return Reduce(tuple(a for a in node.axes if a != axis), (node,), ("sum", axis))

    @staticmethod
    def rename(node: Node, old: str, new: str) -> Node:
        return Rename(tuple(new if a == old else a for a in node.axes), (node,), (old, new))

    @staticmethod
    def contract(a: Node, b: Node) -> Node:
        return Contract(tuple(x for x in a.axes if x not in b.axes) + tuple(x for x in b.axes if x not in a.axes), (a, b))

    @staticmethod
    def cumulate(node: Node, axis: str, reverse: bool, exclusive: bool) -> Node:
        return Cumulate(node.axes, (node,), (axis, reverse, exclusive))

    @staticmethod
    def mask(node: Node, low: int) -> Node:
        return Mask(node.axes, (node,), ("c", "j", low))

    @staticmethod
    def triangular_solve(lower: Node, right: Node) -> Node:
        swap = {"c": "j"} if "c" in right.axes else {"j": "c"}
        return TriangularSolve(tuple(swap.get(a, a) for a in right.axes), (lower, right))


class Simplified(Plain):
    """The functions of `build`."""

    @staticmethod
    def entrywise(expr: sp.Expr, *args: Node) -> Node:
        renamed = expr.xreplace({build.placeholder(i): letter(f"t{i}") for i in range(len(args))})
        axes = {axis for arg in args for axis in arg.axes}
        return build.entrywise(renamed, {f"t{i}": arg for i, arg in enumerate(args)}, axes)

    total = staticmethod(build.total)
    rename = staticmethod(build.rename)
    contract = staticmethod(build.contract)

    @staticmethod
    def cumulate(node: Node, axis: str, reverse: bool, exclusive: bool) -> Node:
        return build.cumulate(node, axis, reverse=reverse, exclusive=exclusive)

    @staticmethod
    def mask(node: Node, low: int) -> Node:
        return build.mask(node, "c", "j", low)

    triangular_solve = staticmethod(rows.triangular_solve)


Step = Callable[[type[Plain], list[Node]], Node]


@st.composite
def recipes(draw: st.DrawFn) -> list[Step]:
    """Operations, each on tiles that come before it; their axes are followed in a plain build."""
    tiles: list[Node] = [build.input_tile(name, axes) for name, axes in LEAVES]
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 7))):
        step = draw(st.sampled_from(possible_steps(tiles, draw)))
        steps.append(step)
        tiles.append(step(Plain, tiles))
    return steps


def possible_steps(tiles: list[Node], draw: st.DrawFn) -> list[Step]:
    """One step of every kind that is possible with two tiles drawn; the later ones are likelier."""
    indices = st.sampled_from([*range(len(tiles)), *range(len(LEAVES), len(tiles)), len(tiles) - 1])
    first, second = draw(indices), draw(indices)
    a, b = tiles[first], tiles[second]
    value = draw(st.sampled_from([sp.Integer(0), sp.Integer(1), HALF, build.length("v")]))
    one, two = draw(st.sampled_from(ONE)), draw(st.sampled_from(TWO))
    steps: list[Step] = [
        lambda kit, t: kit.entrywise(one, t[first]),
        lambda kit, t: kit.entrywise(X * two.xreplace({Y: value}), t[first]),
    ]
    if len({*a.axes, *b.axes}) <= 3:
        steps.append(lambda kit, t: kit.entrywise(two, t[first], t[second]))
        steps.append(lambda kit, t: kit.entrywise(X * Y, t[second], Map((), (), (value,))))
    shared = {*a.axes} & {*b.axes}
    if shared and len({*a.axes} ^ {*b.axes}) <= 3:
        steps.append(lambda kit, t: kit.contract(t[first], t[second]))
    if a.axes:
        axis = draw(st.sampled_from(a.axes))
        steps.append(lambda kit, t: kit.total(t[first], axis))
        steps.append(lambda kit, t: Reduce(tuple(x for x in t[first].axes if x != axis), (t[first],), ("max", axis)))
        others = [new for new in LENGTHS if LENGTHS[new] == LENGTHS[axis] and new not in a.axes]
        if others:
            new = draw(st.sampled_from(others))
            steps.append(lambda kit, t: kit.rename(t[first], axis, new))
        if axis in TOKEN_AXES:
            steps += [partial(cumulated, first, axis, reverse, exclusive) for reverse in (False, True) for exclusive in (False, True)]
    if {"c", "j"} <= {*a.axes}:
        low = draw(st.integers(0, 2))
        steps.append(lambda kit, t: kit.mask(t[first], low))
    if set(a.axes) == {"c", "j"} and len({"c", "j"} & {*b.axes}) == 1:
        steps.append(lambda kit, t: kit.triangular_solve(kit.entrywise(sp.tanh(X) / 2, t[first]), t[second]))
    return steps


def cumulated(index: int, axis: str, reverse: bool, exclusive: bool, kit: type[Plain], tiles: list[Node]) -> Node:
    return kit.cumulate(tiles[index], axis, reverse, exclusive)


def build_program(steps: list[Step], kit: type[Plain]) -> Program:
    """The last three tiles of the recipe are outputs. One of them continues a leaf, for the sake of the adjoint's order of terms."""
    tiles: list[Node] = [build.state_tile(*leaf) if leaf[0] == "a" else build.input_tile(*leaf) for leaf in LEAVES]
    leaves = list(tiles)
    for step in steps:
        tiles.append(step(kit, tiles))
    keep = {f"leaf_{leaf}": tile for (leaf, _), tile in zip(LEAVES, leaves, strict=True)}  # so that every axis has a length
    return verify_program(Program("random", keep | {f"o{i}": tile for i, tile in enumerate(tiles[-3:])}))


def largest_error(found: dict[str, Array], expected: dict[str, Array]) -> float:
    assert set(found) == set(expected)
    assert all(found[name].shape == expected[name].shape for name in found)
    return max(float(np.max(np.abs(found[name] - x) / np.maximum(1, np.abs(x).max()))) for name, x in expected.items())
