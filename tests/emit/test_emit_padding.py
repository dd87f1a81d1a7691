"""Behind the width of an axis kernels hold zeros, or numbers that are nobody's: none of them is infinite, for 0 · ∞ is no 0."""

from __future__ import annotations

import pytest
import sympy as sp

from miras_compiler.emit.triton.padding import Padding
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import entrywise, input_tile, largest, total
from miras_compiler.ir.nodes import Map, Node

X, Y = letter("x"), letter("y")
LOADED, COLUMNS = input_tile("a", ("k", "v")), input_tile("b", ("v",))
UNKNOWN = entrywise(X + 1, {"x": LOADED})
LARGEST, SUM = largest(LOADED, "k"), total(entrywise(sp.exp(X - Y), {"x": LOADED, "y": largest(LOADED, "k")}), "k")


@pytest.mark.parametrize(
    ("expr", "x", "y", "axis", "infinite"),
    [
        pytest.param(sp.exp(X - Y), LOADED, LARGEST, "k", True, id="the largest of a column may be −1000"),
        pytest.param(sp.exp(X - Y), LOADED, LARGEST, "v", False, id="a column of zeros has a largest entry of 0"),
        pytest.param(sp.exp(X), LOADED, None, "k", False, id="exp(0) is 1"),
        pytest.param(sp.cosh(X), UNKNOWN, None, "k", True, id="nobody knows of which number"),
        pytest.param(sp.exp(-(X**2)), UNKNOWN, None, "k", False, id="at most 1"),
        pytest.param(1 / X, UNKNOWN, None, "k", True, id="nobody knows by which number"),
        pytest.param(1 / (1 + X**2), UNKNOWN, None, "k", False, id="at least 1"),
        pytest.param(X / Y, LOADED, COLUMNS, "k", False, id="as inside, where a divisor has no such axis"),
        pytest.param(X / Y, LOADED, COLUMNS, "v", True, id="0 / 0"),
        pytest.param(X / Y, LOADED, SUM, "v", True, id="by a sum that is of no column"),
    ],
)
def test_numbers_that_may_be_infinite_behind_an_axis_are_0_there(expr: sp.Expr, x: Node, y: Node | None, axis: str, infinite: bool) -> None:
    node = entrywise(expr, {"x": x} | ({} if y is None else {"y": y}))
    assert isinstance(node, Map)
    assert Padding().is_undefined(node, axis) == infinite
    assert Padding().is_zero(entrywise(X * Y, {"x": LOADED, "y": node}), axis)


@pytest.mark.parametrize(
    ("expr", "y", "infinite"),
    [
        pytest.param(X / Y, total(input_tile("a", ("c", "v")), "v"), True, id="0 / 0 of loaded rows"),
        pytest.param(X / Y, total(entrywise(sp.exp(X), {"x": input_tile("a", ("c", "v"))}), "v"), False, id="a sum of ones"),
        pytest.param(X / (1 + Y), total(input_tile("a", ("c", "v")), "v"), False, id="by one"),
    ],
)
def test_rows_behind_the_tokens_of_a_tile_are_zeros_where_they_are_loaded(expr: sp.Expr, y: Node, infinite: bool) -> None:
    node = entrywise(expr, {"x": input_tile("a", ("c", "v")), "y": y})
    assert isinstance(node, Map)
    assert Padding(rows=True).is_undefined(node, "c") == infinite
    assert not Padding().is_undefined(node, "c")
