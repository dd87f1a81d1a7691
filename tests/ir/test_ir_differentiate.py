"""Reverse mode on tile programs: the tiles that it gives, the order of its sums, and its choice where a slope is ambiguous.

That the numbers are right is shown by `test_ir_random_programs` (finite differences) and `test_ir_autograd` (whole models).
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from kit.expression_value import Array, random_leaves
from miras_compiler.errors import InternalError
from miras_compiler.expressions.activations import gelu, gelu_slope
from miras_compiler.expressions.symbols import letter, relu, rsqrt, signum
from miras_compiler.ir.build import constant, contract, cumulate, entrywise, input_tile, largest, mask, rename, state_tile, total
from miras_compiler.ir.differentiate import cotangents, differentiate
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Cumulate, Input, Map, Node, State, TriangularSolve
from miras_compiler.ir.program import Program
from miras_compiler.ir.rows import forward_substitute, triangular_solve
from miras_compiler.ir.traverse import dependents, leaves_of, nodes_of
from miras_compiler.ir.verify import verify_program

X, Y = letter("x"), letter("y")
A, B, W = input_tile("a", ("c", "k")), input_tile("b", ("c",)), state_tile("W", ("k", "v"))


def only_output(node: Node) -> Program:
    return differentiate(Program("p", {"o": node}))


def test_an_adjoint_goes_from_leaves_and_cotangents_to_the_cotangents_of_leaves() -> None:
    z = contract(A, W)
    following = entrywise(X * Y, {"x": W, "y": total(B, "c")})
    adjoint = verify_program(differentiate(Program("chunk", {"o": z, "W": following})))
    assert adjoint.name == "chunk_adjoint"
    assert list(adjoint.outputs) == ["d_W", "d_a", "d_b"]
    kinds = {leaf.name: type(leaf) for leaf in leaves_of(adjoint)}
    assert kinds == {"W": State, "a": Input, "b": Input, "d_o": Input, "d_W": State}
    assert [adjoint.outputs[f"d_{leaf.name}"].axes for leaf in (W, A, B)] == [leaf.axes for leaf in (W, A, B)]  # type: ignore[attr-defined]


def test_only_what_is_asked_for_is_computed() -> None:
    adjoint = differentiate(Program("p", {"o": contract(A, W)}), ["a"])
    assert list(adjoint.outputs) == ["d_a"]
    assert A not in nodes_of(adjoint)


def test_what_does_not_reach_an_output_has_the_gradient_0() -> None:
    gradients = cotangents({A: input_tile("d_o", A.axes)}, [A, B])
    assert gradients[A] is input_tile("d_o", A.axes)
    assert gradients[B] is constant(0, ("c",))
    assert only_output(entrywise(signum(X), {"x": A})).outputs["d_a"].axes == A.axes


def test_an_output_that_two_names_share_gets_both_cotangents() -> None:
    z = entrywise(3 * X, {"x": B})
    found = interpret(differentiate(Program("p", {"o": z, "again": z})), {"d_o": [1.0, 2.0], "d_again": [10.0, 20.0]})
    assert found["d_b"].tolist() == [33, 66]


def test_equal_largest_entries_share_the_cotangent_equally() -> None:
    found = interpret(only_output(largest(A, "k")), {"a": [[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]], "d_o": [6.0, 5.0]})
    assert found["d_a"].tolist() == [[0, 3, 3], [5, 0, 0]]


@pytest.mark.parametrize("expr", [relu(X), sp.tanh(X), gelu(X), rsqrt(X)], ids=str)
def test_a_slope_uses_the_value_that_is_there_or_has_a_name(expr: sp.Expr) -> None:
    """tanh′ = 1 − tanh², rsqrt′ = −rsqrt³/2; gelu′ is one function. Nothing is computed a second time."""
    value = entrywise(expr, {"x": A})
    slope = only_output(value).outputs["d_a"]
    assert isinstance(slope, Map)
    functions = {type(f) for f in slope.expr.atoms(sp.Function)}
    assert type(expr) not in functions
    assert (value in slope.args) == (expr in (sp.tanh(X), rsqrt(X)))
    assert functions <= {gelu_slope, type(relu(X).fdiff())}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_the_adjoint_of_a_cumulative_sum_is_the_one_from_the_other_end(reverse: bool, exclusive: bool) -> None:
    d_b = only_output(cumulate(B, "c", reverse=reverse, exclusive=exclusive)).outputs["d_b"]
    assert isinstance(d_b, Cumulate)
    assert (d_b.reverse, d_b.exclusive) == (not reverse, exclusive)


def test_the_adjoint_of_a_masked_tile_is_masked_and_so_is_that_of_a_triangle() -> None:
    scores = input_tile("s", ("c", "j"))
    assert only_output(mask(scores, "c", "j", 1)).outputs["d_s"] is mask(input_tile("d_o", ("c", "j")), "c", "j", 1)
    found = interpret(
        only_output(triangular_solve(scores, A)), {"s": np.ones((3, 3)), "a": np.ones((3, 2)), "d_o": np.arange(6.0).reshape(3, 2)}
    )
    assert not np.triu(found["d_s"]).any()


@pytest.mark.parametrize("right", [("c", "v"), ("v", "j"), ("c",)])
def test_the_adjoint_of_a_triangular_solve_is_one_more_solve(right: tuple[str, ...]) -> None:
    node = triangular_solve(mask(input_tile("s", ("c", "j")), "c", "j", 1), input_tile("r", right))
    adjoint = verify_program(only_output(node))
    solves = [each for each in nodes_of(adjoint) if isinstance(each, TriangularSolve)]
    assert len(solves) == 2
    assert adjoint.outputs["d_r"] in solves
    assert {each.transposed for each in solves} == {False, True}


@pytest.mark.parametrize("kind", ["triangle per channel", "substitution", "substitution per channel"])
def test_the_adjoint_of_a_system_of_rows_is_its_slope(kind: str) -> None:
    """By central differences along a random direction; the function of a row has a norm, a gate and a parameter."""
    if kind.startswith("substitution"):
        channels = ("v",) if kind.endswith("channel") else ()
        lower, right = mask(input_tile("s", ("c", "j", *channels)), "c", "j", 1), input_tile("r", ("c", "v"))
        leaves = {"z": input_tile("z", ("v",)), "g": input_tile("g", ()), "w": input_tile("w", ("v",))}
        size = total(entrywise(X**2, {"x": leaves["z"]}), "v")
        phi = entrywise(letter("g") * sp.tanh(letter("z")) * letter("w") + letter("z") * rsqrt(1 + X), {**leaves, "x": size})
        rows = {"g": B, "w": input_tile("w", ("v",))}
        node: Node = forward_substitute(lower, right, Program("phi", {"phi": phi}), rows)
    else:
        node = triangular_solve(mask(input_tile("s", ("c", "j", "v")), "c", "j", 1), input_tile("r", ("c", "v")))
    program = Program("p", {"o": node})
    adjoint = verify_program(differentiate(program))
    lengths = {"c": 4, "j": 4, "v": 3}
    values, direction = random_leaves(program, lengths), random_leaves(program, lengths, seed=1)
    seed = np.random.default_rng(2).standard_normal((4, 3))
    above, below = (interpret(program, {n: x + h * direction[n] for n, x in values.items()})["o"] for h in (1e-6, -1e-6))
    gradients = interpret(adjoint, values | {"d_o": seed})
    assert set(gradients) == {f"d_{name}" for name in values}
    slope = sum(float(np.sum(gradients[f"d_{name}"] * direction[name])) for name in values)
    assert slope == pytest.approx(float(np.sum(seed * (above - below))) / 2e-6, rel=1e-7)


def test_a_row_that_is_read_in_two_places_gets_one_sum() -> None:
    found = interpret(only_output(contract(A, rename(A, "c", "j"))), {"a": [[1.0, 2.0], [3.0, 4.0]], "d_o": [[1.0, 0.0], [0.0, 1.0]]})
    assert found["d_a"].tolist() == [[2, 4], [6, 8]]


@pytest.mark.parametrize("state_first", [False, True])
def test_terms_that_depend_on_the_carried_gradient_come_last(state_first: bool) -> None:
    """Whatever the order of the outputs, the part of d_a that needs no d_W stands before the part that does."""
    read, written = contract(A, W), entrywise(X + Y, {"x": W, "y": contract(A, input_tile("v", ("c", "v")))})
    outputs = {"W": written, "o": read} if state_first else {"o": read, "W": written}
    adjoint = differentiate(Program("chunk", outputs))
    d_a = adjoint.outputs["d_a"]
    carried = [leaf for leaf in leaves_of(adjoint) if leaf.name == "d_W"]
    late = dependents([d_a], carried)
    assert [arg in late for arg in d_a.args] == [False, True]


def test_many_terms_keep_their_order() -> None:
    """Twelve early terms and a late one: their places are numbers, not texts."""
    parts = [entrywise(sp.tanh(i * X), {"x": B}) for i in range(1, 13)]
    carried = state_tile("s", ("c",))
    outputs: dict[str, Node] = {"s": entrywise(X + Y**2, {"x": carried, "y": B}), **{f"o{i}": part for i, part in enumerate(parts)}}
    adjoint = differentiate(Program("p", outputs))
    late = dependents(adjoint.outputs.values(), [leaf for leaf in leaves_of(adjoint) if leaf.name == "d_s"])
    assert [arg in late for arg in adjoint.outputs["d_b"].args] == [False] * 12 + [True]


def test_a_cotangent_has_the_axes_of_its_tile_in_their_order() -> None:
    turned = input_tile("t", ("v", "k"))
    adjoint = only_output(contract(A, turned))
    assert adjoint.outputs["d_t"].axes == ("v", "k")
    a: Array = np.ones((2, 3))
    d_t = interpret(adjoint, {"a": a, "t": np.ones((4, 3)), "d_o": np.arange(8.0).reshape(2, 4)})["d_t"]
    assert d_t.tolist() == [[4.0] * 3, [6.0] * 3, [8.0] * 3, [10.0] * 3]


def test_a_derivative_can_be_differentiated_again() -> None:
    """Twice d/dx of x³ summed: 6 x."""
    first = only_output(entrywise(X**3, {"x": B}))
    second = verify_program(differentiate(Program("second", {"g": first.outputs["d_b"]}), ["b"]))
    found = interpret(second, {"b": [1.0, -2.0], "d_o": [1.0, 1.0], "d_g": [1.0, 1.0]})
    assert found["d_b"].tolist() == [6, -12]


def test_a_node_without_an_adjoint_is_our_bug() -> None:
    class Strange(Node):
        __slots__ = ()

    with pytest.raises(InternalError, match="no adjoint for Strange"):
        only_output(Strange(("c",), (B,)))
