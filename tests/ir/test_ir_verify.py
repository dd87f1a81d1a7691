"""Invariants of the tile IR, and the companions that walk it: verify, show, traverse, hash-consing, and the simplifications of build."""

from __future__ import annotations

import gc

import pytest
import sympy as sp

from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import letter, sigmoid
from miras_compiler.ir.build import add, constant, contract, cumulate, entrywise, input_tile, length, mask, rename, state_tile, total
from miras_compiler.ir.nodes import Contract, Cumulate, Input, Map, Mask, Node, Reduce, Rename, State, TriangularSolve
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.rows import triangular_solve
from miras_compiler.ir.show import show
from miras_compiler.ir.traverse import dependents, leaves_of, nodes_of, rewrite, topological, use_counts
from miras_compiler.ir.verify import verify_program

X, Y, X0 = letter("x"), letter("y"), letter("x0")
A, B = input_tile("a", ("c", "k")), input_tile("b", ("k", "v"))
S, L = input_tile("s", ("c", "j")), input_tile("l", ("c",))

BROKEN: dict[str, tuple[Node, str]] = {
    "axis twice": (Input(("c", "c"), (), ("a",)), "not distinct known names"),
    "unknown axis": (Input(("z",), (), ("a",)), "not distinct known names"),
    "leaf with argument": (State((), (A,), ("s",)), "has 1 arguments, not 0"),
    "contraction of one": (Contract(("c",), (A,)), "has 1 arguments, not 2"),
    "unbound letter": (Map(("c", "k"), (A,), (X0 + letter("x1"),)), "unbound letters in x0 + x1"),
    "axis lost": (Map(("c",), (A,), (X0,)), "has an axis that the result lacks"),
    "nothing shared": (Contract(("c", "k", "v"), (L, B)), "not those of a contraction"),
    "wrong axes": (Contract(("v", "c"), (A, B)), "not those of a contraction"),
    "rename of nothing": (Rename(("c", "k"), (A,), ("v", "n")), "renames an axis that is not there"),
    "rename to other axes": (Rename(("c", "n"), (A,), ("k", "v")), "renames an axis that is not there"),
    "reduction of nothing": (Reduce(("c", "k"), (A,), ("sum", "v")), "reduces an axis that is not there"),
    "reduction of the other": (Reduce(("k",), (A,), ("max", "k")), "reduces an axis that is not there"),
    "sum along keys": (Cumulate(("c", "k"), (A,), ("k", False, False)), "no token axis"),
    "sum along nothing": (Cumulate(("c", "k"), (A,), ("j", False, False)), "no token axis"),
    "mask of keys": (Mask(("c", "k"), (A,), ("c", "k", 0)), "no token axes"),
    "triangle of keys": (TriangularSolve(("c",), (A, L)), "not over two token axes"),
    "system of nothing": (TriangularSolve(("k", "v"), (S, B)), "shares not exactly one axis"),
    "system of both": (TriangularSolve(("c", "j"), (S, S)), "shares not exactly one axis"),
    "system on the wrong axis": (TriangularSolve(("c", "k"), (S, A)), "not those of a solution"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_tile_is_named_with_the_rule_that_it_breaks(case: str) -> None:
    tile, rule = BROKEN[case]
    reader = Map(tile.axes, (tile,), (2 * X0,)) if len(set(tile.axes)) == len(tile.axes) else tile
    with pytest.raises(InternalError) as caught:
        verify_program(Program("chunk", {"o": reader}))
    assert f"chunk: {tile!r}: " in str(caught.value)
    assert rule in str(caught.value)


def test_two_leaves_of_one_name_are_refused() -> None:
    other = state_tile("a", ("c", "k"))
    with pytest.raises(InternalError, match="two leaves are called a"):
        verify_program(Program("chunk", {"o": add(A, other)}))


def test_two_tiles_of_one_label_are_refused() -> None:
    label = Label("z1", "z₁", "memory", "memory")
    with pytest.raises(InternalError, match="two tiles have the label z1"):
        verify_program(Program("chunk", {"o": contract(A, B)}, {A: label, B: label}))


def test_what_is_right_is_handed_back() -> None:
    solved = triangular_solve(mask(S, "c", "j", 1), contract(A, B))
    program = Program("chunk", {"o": solved, "n": cumulate(total(rename(A, "k", "v"), "v"), "c")})
    assert verify_program(program) is program


def test_the_same_tile_built_twice_is_one_object() -> None:
    def build() -> Node:
        a, b = input_tile("a", ("c", "k")), input_tile("b", ("k", "v"))
        return entrywise(sigmoid(X) + Y, {"x": contract(a, b), "y": total(b, "k")})

    first = build()
    assert build() is first
    assert input_tile("a", ("c", "k")) is A
    assert input_tile("a", ("c", "v")) is not A
    assert state_tile("a", ("c", "k")) is not A


@pytest.mark.slow
def test_tiles_that_nobody_holds_are_forgotten() -> None:
    def interned() -> int:
        gc.collect()
        return len(Node._interned)

    before = interned()
    held = [entrywise(X + i, {"x": A}) for i in range(1000, 1050)]
    assert interned() == before + 50
    held.clear()
    assert interned() == before


def test_build_simplifies() -> None:
    tile = {"x": A, "y": L}
    assert entrywise(X, {"x": A}) is A
    assert entrywise(X + 0 * Y, tile) is A  # an argument that does not matter
    assert entrywise(X * Y, {"x": A, "y": constant(1)}) is A
    assert entrywise(X - Y, {"x": A, "y": A}).args == ()
    assert entrywise(X * Y, {"x": A, "y": A}) is entrywise(X**2, {"x": A})
    wide = entrywise(Y, tile, ("c", "k"))
    assert entrywise(X * Y, {"x": A, "y": wide}) is entrywise(X * Y, tile)  # a broadcast is made where it is read
    assert rename(rename(A, "k", "v"), "v", "k") is A
    assert rename(rename(A, "k", "v"), "v", "n") is rename(A, "k", "n")
    assert rename(L, "k", "v") is L
    assert rename(constant(2, ("c",)), "c", "j") is constant(2, ("j",))
    assert total(constant(3, ("c", "k")), "c") is constant(3 * length("c"), ("k",))
    assert total(L, "v") is entrywise(X * length("v"), {"x": L})
    assert total(entrywise(-2 * X, {"x": A}), "k") is entrywise(-2 * X, {"x": total(A, "k")})
    assert contract(A, constant(0, ("k", "v"))) is constant(0, ("c", "v"))
    assert mask(constant(0, ("c", "j")), "c", "j", 0) is cumulate(constant(0, ("c", "j")), "c")
    assert add(A) is A


def test_an_unbound_letter_is_our_bug() -> None:
    with pytest.raises(InternalError, match=r"unbound letters \['y'\]"):
        entrywise(X + Y, {"x": A})


def test_arguments_come_first_and_each_tile_once() -> None:
    z = contract(A, B)
    root = entrywise(X * Y, {"x": z, "y": total(z, "v")})
    order = topological([root, z])
    assert order == [A, B, z, total(z, "v"), root]
    assert topological([root, z]) == order
    program = Program("p", {"o": root, "z": z})
    assert nodes_of(program) == tuple(order)
    assert [leaf.name for leaf in leaves_of(program)] == ["a", "b"]
    assert use_counts(program) == {A: 1, B: 1, z: 3, total(z, "v"): 1, root: 1}
    assert dependents([root], [B]) == {B, z, total(z, "v"), root}


def test_a_deep_program_does_not_overflow_the_stack() -> None:
    tile: Node = L
    for i in range(5000):
        tile = Map(("c",), (tile,), (X0 + i % 7,))
    assert len(nodes_of(Program("deep", {"o": tile}))) == 5001


def test_a_rewrite_replaces_tiles_and_takes_the_labels_along() -> None:
    z = contract(A, B)
    root = entrywise(2 * X, {"x": z})
    label = Label("z1", "z₁", "memory", "memory")
    other = input_tile("c", ("k", "v"))
    program = rewrite(
        Program("p", {"o": root}, {z: label}), lambda node, args: other if node is B else type(node)(node.axes, args, node.fields)
    )
    assert program.outputs == {"o": entrywise(2 * X, {"x": contract(A, other)})}
    assert program.labels == {contract(A, other): label}


def test_a_program_prints_one_tile_a_line_with_its_label_and_its_arguments() -> None:
    z = contract(A, B)
    root = entrywise(sigmoid(X) * Y, {"x": z, "y": mask(S, "c", "j", 1)})
    decayed = cumulate(L, "c", reverse=True, exclusive=True)
    text = show(Program("chunk", {"o": total(root, "v"), "d": decayed}, {z: Label("z1", "z₁", "memory", "memory")}))
    assert text.splitlines() == [
        "chunk:",
        "  %0 a[c, k] = Input",
        "  %1 b[k, v] = Input",
        "  %2 z1[c, v] = Contract(k) %0 %1",
        "  %3 s[c, j] = Input",
        "  %4 [c, j] = Mask(c, j, 1) %3",
        "  %5 [c, j, v] = Map(x1*sigmoid(x0)) %2 %4",
        "  %6 [c, j] = Reduce(sum, v) %5",
        "  %7 l[c] = Input",
        "  %8 [c] = Cumulate(c, True, True) %7",
        "  o -> %6",
        "  d -> %8",
    ]


def test_the_expression_of_a_map_may_hold_the_length_of_an_axis() -> None:
    tile = entrywise(X / length("k") + sp.Rational(1, 3), {"x": A})
    assert verify_program(Program("p", {"o": tile})).outputs["o"] is tile
