"""Every node of the tile IR against numpy written out by hand: loops and sums over entries, in the axes' own names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

from kit.expression_value import Array, value
from miras_compiler.errors import InternalError
from miras_compiler.expressions.activations import Composite, gelu, gelu_slope, gelu_tanh, gelu_tanh_slope, silu, silu_slope
from miras_compiler.expressions.symbols import (
    Power0,
    RealFunction,
    RowMax,
    RowSum,
    larger,
    letter,
    magnitude,
    normal_cdf,
    relu,
    rsqrt,
    sigmoid,
    signum,
    smaller,
    softplus,
    step,
    where_positive,
)
from miras_compiler.ir.build import constant, contract, cumulate, entrywise, input_tile, largest, length, mask, rename, state_tile, total
from miras_compiler.ir.expression_value import FUNCTIONS
from miras_compiler.ir.formulas import lower_expression
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Map, Mask, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.rows import forward_substitute, triangular_solve

C, K, V = 4, 3, 2
X, Y = letter("x"), letter("y")
ENTRYWISE = (gelu, gelu_slope, gelu_tanh, gelu_tanh_slope, magnitude, normal_cdf, relu, sigmoid, signum, silu, silu_slope, softplus, step)


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def run(node: Node, **values: Any) -> Array:
    return interpret(Program("test", {"o": node}), values)["o"]


@pytest.mark.parametrize("function", [*ENTRYWISE, sp.exp, sp.tanh, sp.cosh, sp.sinh], ids=lambda function: function.__name__)
def test_a_map_is_its_function_entry_by_entry(function: Callable[[sp.Expr], sp.Expr]) -> None:
    a = np.concatenate([drawn(C, V).ravel(), [0.0, 30.0, -30.0]])
    found = run(entrywise(function(X), {"x": input_tile("a", ("c",))}), a=a)
    np.testing.assert_allclose(found, value(function(X), x=a), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("expr", [sp.log(X), rsqrt(X), sp.sqrt(X), 1 / X, X ** sp.Rational(5, 2)], ids=str)
def test_a_map_of_positive_numbers_is_its_function_entry_by_entry(expr: sp.Expr) -> None:
    a = np.exp(drawn(C))
    np.testing.assert_allclose(run(entrywise(expr, {"x": input_tile("a", ("c",))}), a=a), value(expr, x=a), rtol=1e-14)


@pytest.mark.parametrize("expr", [smaller(X, Y), larger(X, Y), where_positive(X, Y, 2 * X), X * Y - Y / 3 + 1], ids=str)
def test_a_map_of_two_tiles_broadcasts_by_the_names_of_their_axes(expr: sp.Expr) -> None:
    a, b = drawn(C, V), drawn(V)
    found = run(entrywise(expr, {"x": input_tile("a", ("c", "v")), "y": input_tile("b", ("v",))}), a=a, b=b)
    np.testing.assert_allclose(found, value(expr, x=a, y=np.broadcast_to(b, (C, V))), rtol=1e-15)


def test_a_singular_power_is_0_where_it_is_singular() -> None:
    a = np.array([-2.0, 0.0, 4.0])
    tile = {"x": input_tile("a", ("c",))}
    np.testing.assert_array_equal(run(entrywise(Power0(X, sp.Rational(-1, 2)), tile), a=a), [0, 0, 0.5])
    np.testing.assert_array_equal(run(entrywise(Power0(X, sp.Integer(-1)), tile), a=a), [-0.5, 0, 0.25])


def test_softplus_and_sigmoid_do_not_overflow() -> None:
    a = np.array([-800.0, 800.0])
    with np.errstate(over="raise"):
        np.testing.assert_allclose(run(entrywise(softplus(X), {"x": input_tile("a", ("c",))}), a=a), [0, 800])
        np.testing.assert_allclose(run(entrywise(sigmoid(X), {"x": input_tile("a", ("c",))}), a=a), [0, 1])


def test_every_function_of_the_vocabulary_has_a_meaning() -> None:
    """But for reductions over a row, which become tiles."""
    own = [each for each in RealFunction.__subclasses__() if each.__module__ == RealFunction.__module__ and each is not Composite]
    vocabulary = {each for each in own if not each.__name__.startswith("Row")}
    assert {each.__name__ for each in vocabulary} <= set(FUNCTIONS)
    unknown = entrywise(sp.Function("unknown")(X), {"x": input_tile("a", ("c",))})
    with pytest.raises(InternalError, match="no meaning for the function unknown"):
        run(unknown, a=drawn(C))


def test_a_constant_fills_its_axes_and_knows_their_lengths() -> None:
    a = input_tile("a", ("c", "v"))
    found = interpret(Program("test", {"half": constant(length("v") + sp.Rational(1, 2), ("c", "v")), "a": a}), {"a": np.zeros((C, V))})
    np.testing.assert_array_equal(found["half"], np.full((C, V), 2.5))


def test_a_broadcast_repeats_a_tile_along_the_axes_that_it_lacks() -> None:
    a, b = drawn(V), drawn(C)
    tiles = {"x": input_tile("a", ("v",)), "y": input_tile("b", ("c",))}
    np.testing.assert_array_equal(run(entrywise(X * Y, tiles), a=a, b=b), np.outer(b, a))
    wide = interpret(Program("test", {"o": entrywise(X, tiles, ("c", "v")), "b": tiles["y"]}), {"a": a, "b": b})["o"]
    np.testing.assert_array_equal(wide, np.stack([a] * C))


@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [
        (("c", "k"), ("k", "v"), ("c", "v")),
        (("k", "c"), ("k", "v"), ("c", "v")),
        (("c", "k"), ("v", "k"), ("c", "v")),
        (("k",), ("k", "v"), ("v",)),
        (("c", "k"), ("c", "k"), ()),
        (("c", "k", "v"), ("v", "k"), ("c",)),
    ],
)
def test_a_contraction_sums_over_the_axes_that_both_have(left: tuple[str, ...], right: tuple[str, ...], axes: tuple[str, ...]) -> None:
    lengths = {"c": C, "k": K, "v": V}
    a, b = drawn(*(lengths[x] for x in left)), drawn(*(lengths[x] for x in right))
    node = contract(input_tile("a", left), input_tile("b", right))
    assert node.axes == axes
    letters = f"{''.join(left)},{''.join(right)}->{''.join(axes)}"
    np.testing.assert_allclose(run(node, a=a, b=b), np.einsum(letters, a, b), rtol=1e-13)


def test_without_a_shared_axis_a_contraction_is_the_outer_product() -> None:
    a, b = drawn(V), drawn(K)
    np.testing.assert_array_equal(run(contract(input_tile("a", ("v",)), input_tile("b", ("k",))), a=a, b=b), np.outer(b, a))


def test_a_renamed_tile_has_the_same_numbers() -> None:
    a = drawn(C, K)
    node = rename(input_tile("a", ("c", "k")), "k", "v")
    assert node.axes == ("c", "v")
    np.testing.assert_array_equal(run(node, a=a), a)


def test_reductions_run_over_the_named_axis() -> None:
    a = drawn(C, K)
    tile = input_tile("a", ("c", "k"))
    np.testing.assert_allclose(run(total(tile, "c"), a=a), [sum(a[t, j] for t in range(C)) for j in range(K)], rtol=1e-14)
    np.testing.assert_array_equal(run(largest(tile, "k"), a=a), [max(row) for row in a])


@pytest.mark.parametrize(
    ("reverse", "exclusive", "included"),
    [
        (False, False, lambda t, i: i <= t),
        (False, True, lambda t, i: i < t),
        (True, False, lambda t, i: i >= t),
        (True, True, lambda t, i: i > t),
    ],
    ids=["up to", "before", "from", "behind"],
)
def test_a_cumulative_sum_counts_the_tokens_on_its_side(reverse: bool, exclusive: bool, included: Callable[[int, int], bool]) -> None:
    a = drawn(K, C)
    node = cumulate(input_tile("a", ("k", "c")), "c", reverse=reverse, exclusive=exclusive)
    expected = [[sum(row[i] for i in range(C) if included(t, i)) for t in range(C)] for row in a]
    np.testing.assert_allclose(run(node, a=a), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("low", [0, 1, 2])
def test_a_mask_keeps_the_columns_at_least_low_tokens_before_the_row(low: int) -> None:
    a = drawn(C, C) + 10
    a[0, C - 1] = np.inf  # the fill value does not matter
    node = mask(input_tile("a", ("c", "j")), "c", "j", low)
    np.testing.assert_array_equal(run(node, a=a), [[a[t, j] if t - j >= low else 0 for j in range(C)] for t in range(C)])


def test_a_mask_goes_by_name_not_by_position() -> None:
    a = drawn(C, V, C)
    node = Mask(("j", "v", "c"), (input_tile("a", ("j", "v", "c")),), ("c", "j", 1))
    np.testing.assert_array_equal(run(node, a=a), np.where(np.arange(C)[:, None, None] < np.arange(C), a, 0))


def test_a_triangular_system_is_solved_by_forward_substitution() -> None:
    lower, right = drawn(C, C), drawn(C, V)
    node = triangular_solve(input_tile("L", ("c", "j")), input_tile("R", ("c", "v")))
    rows: list[Array] = []
    for t in range(C):
        rows.append(right[t] - sum((lower[t, j] * rows[j] for j in range(t)), np.zeros(V)))
    assert node.axes == ("j", "v")
    np.testing.assert_allclose(run(node, L=lower, R=right), rows, rtol=1e-12)


def test_a_right_side_on_the_columns_is_the_transposed_system() -> None:
    lower, right = drawn(C, C), drawn(V, C)
    node = triangular_solve(input_tile("L", ("c", "j")), input_tile("R", ("v", "j")))
    rows = [np.zeros(V)] * C
    for t in reversed(range(C)):
        rows[t] = right[:, t] - sum((lower[i, t] * rows[i] for i in range(t + 1, C)), np.zeros(V))
    assert node.axes == ("v", "c")
    np.testing.assert_allclose(run(node, L=lower, R=right), np.stack(rows, 1), rtol=1e-12)


def test_a_triangle_per_channel_is_one_system_per_channel() -> None:
    lower, right = drawn(C, C, V), drawn(C, V)
    node = triangular_solve(input_tile("L", ("c", "j", "v")), input_tile("R", ("c", "v")))
    rows: list[Array] = []
    for t in range(C):
        rows.append(right[t] - sum((lower[t, j] * rows[j] for j in range(t)), np.zeros(V)))
    assert node.axes == ("j", "v")
    np.testing.assert_allclose(run(node, L=lower, R=right), rows, rtol=1e-12)


@pytest.mark.parametrize("channels", [(), ("v",)], ids=["one triangle", "a triangle per channel"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_substitution_goes_row_by_row_through_its_function(backwards: bool, channels: tuple[str, ...]) -> None:
    """X_t = g_t tanh(z_t) + w with z_t = R_t − Σ_s L_ts X_s, s before t; backwards the transposed triangle, from the last row."""
    phi = Program("phi", {"phi": entrywise(letter("g") * sp.tanh(letter("z")) + letter("w"), row_leaves())})
    axis = "j" if backwards else "c"
    lower, right, g, w = drawn(C, C, *[V] * len(channels)), drawn(C, V), drawn(C), drawn(V)
    tiles = {"g": input_tile("g", (axis,)), "w": input_tile("w", ("v",))}
    node = forward_substitute(input_tile("L", ("c", "j", *channels)), input_tile("R", (axis, "v")), phi, tiles, transposed=backwards)
    rows = [np.zeros(V)] * C
    for t in reversed(range(C)) if backwards else range(C):
        others = range(t + 1, C) if backwards else range(t)
        z = right[t] - sum(((lower[s, t] if backwards else lower[t, s]) * rows[s] for s in others), np.zeros(V))
        rows[t] = g[t] * np.tanh(z) + w
    assert node.axes == ("c" if backwards else "j", "v")
    np.testing.assert_allclose(run(node, L=lower, R=right, g=g, w=w), np.stack(rows), rtol=1e-12)


def row_leaves() -> dict[str, Node]:
    return {"z": input_tile("z", ("v",)), "g": input_tile("g", ()), "w": input_tile("w", ("v",))}


@pytest.mark.parametrize("row", [("v",), ("k", "v")], ids="".join)
def test_a_formula_with_reductions_becomes_tiles(row: tuple[str, ...]) -> None:
    """A softmax and a norm, per token: over the rows of a tile, or over a whole matrix."""
    x = letter("x")
    expr = sp.exp(x - RowMax(x)) / RowSum(sp.exp(x - RowMax(x))) + Power0(RowSum(x**2), sp.Rational(1, 2)) / RowSum(sp.Integer(2))
    a = drawn(C, K, V)
    found = run(lower_expression(expr, {"x": state_tile("a", ("c", "k", "v"))}, row), a=a)
    flat = a.reshape(C, K * V) if len(row) == 2 else a
    np.testing.assert_allclose(
        found, value(expr.xreplace({RowSum(sp.Integer(2)): sp.Integer(2 * flat.shape[-1])}), x=flat).reshape(a.shape)
    )


def test_every_leaf_must_be_given_in_the_number_of_its_axes() -> None:
    node = input_tile("a", ("c", "v"))
    with pytest.raises(KeyError):
        run(node)
    with pytest.raises(ValueError, match="zip"):
        run(node, a=drawn(C))


def test_nothing_is_evaluated_twice_and_outputs_may_be_leaves() -> None:
    a = input_tile("a", ("c",))
    twice = entrywise(2 * X, {"x": a})
    found = interpret(Program("test", {"a": a, "b": twice, "c": Map(("c",), (twice,), (letter("x0") + 1,))}), {"a": np.ones(C)})
    assert [x.tolist() for x in found.values()] == [[1.0] * C, [2.0] * C, [3.0] * C]
