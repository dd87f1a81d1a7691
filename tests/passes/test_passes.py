"""Passes: every one keeps the meaning and the invariants; fuse writes single-use values into their reader, reuse takes
products that are there, name names shared ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from kit.expression_value import random_leaves
from kit.paths import SPECS
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form
from miras_compiler.derive import derive_update_rule
from miras_compiler.errors import InternalError
from miras_compiler.expressions.symbols import letter, rsqrt
from miras_compiler.ir.build import constant, contract, entrywise, input_tile, length, placeholder, rename, state_tile, total
from miras_compiler.ir.differentiate import cotangents, differentiate
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Leaf, Map, Node, Rename
from miras_compiler.ir.program import Label, Program
from miras_compiler.ir.traverse import leaves_of, nodes_of, use_counts
from miras_compiler.ir.verify import verify_program
from miras_compiler.lower import build_program
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.fuse import fuse
from miras_compiler.passes.name import name
from miras_compiler.passes.pipeline import Pass
from miras_compiler.passes.reuse import reuse
from miras_compiler.spec import load_spec

SIX = ("titans_lmm", "yaad", "moneta", "memora", "gated_delta_net", "linear_attention")
SIX_SPECS = [SPECS / f"{name}.yaml" for name in SIX]
LENGTHS = {"c": 4, "i": 4, "j": 4, "k": 3, "n": 5, "v": 3}
X, Y = letter("x"), letter("y")
A, B = input_tile("a", ("c", "k")), input_tile("b", ("c",))
LABEL = Label("z", "z", "memory", "memory")


@cache
def lowered(path: Path) -> tuple[Program, Program]:
    """The program of a spec's tile before any pass, and its adjoint."""
    rule = derive_update_rule(load_spec(path))
    program = build_program(rule, classify_parallel_form(rule, build_dependency_graph(rule)))
    return program, differentiate(program)


def once(node: Node, **labels: Node) -> Program:
    return Program("p", {"o": node}, {tile: Label(each, each, "memory", "memory") for each, tile in labels.items()})


@pytest.mark.parametrize("path", SIX_SPECS, ids=lambda path: path.stem)
@pytest.mark.parametrize("each", [*PASSES, reuse, run_passes], ids=lambda each: each.__name__)
def test_a_pass_keeps_what_a_program_means(each: Pass, path: Path) -> None:
    for program in lowered(path):
        values = random_leaves(program, LENGTHS)
        values |= {leaf: -np.abs(x) for leaf, x in values.items() if leaf.startswith("log_")}
        found, expected = interpret(verify_program(each(program)), values), interpret(program, values)
        assert list(found) == list(expected)
        for output, x in expected.items():
            np.testing.assert_allclose(found[output], x, rtol=1e-9, atol=1e-9 * float(np.abs(x).max()), err_msg=output)


@pytest.mark.parametrize("path", SIX_SPECS, ids=lambda path: path.stem)
def test_a_second_run_of_the_passes_changes_nothing(path: Path) -> None:
    for program in lowered(path):
        again = run_passes(run_passes(program))
        assert again.outputs == run_passes(program).outputs
        assert again.labels == run_passes(program).labels


@pytest.mark.parametrize("path", SIX_SPECS, ids=lambda path: path.stem)
def test_labels_leaves_and_layouts_survive_the_passes(path: Path) -> None:
    for program in lowered(path):
        passed = run_passes(program)
        named = {label.name for label in passed.labels.values() if not label.automatic}
        assert named == {label.name for tile, label in program.labels.items() if tile in nodes_of(program) and not label.automatic}
        assert leaves_of(passed) == leaves_of(program)
        assert {output: tile.axes for output, tile in passed.outputs.items()} == {
            output: tile.axes for output, tile in program.outputs.items()
        }


@pytest.mark.parametrize("path", SIX_SPECS, ids=lambda path: path.stem)
def test_every_value_that_is_read_twice_has_a_name_and_no_two_share_it(path: Path) -> None:
    for program in map(run_passes, lowered(path)):
        uses = use_counts(program)
        for tile in nodes_of(program):
            free = isinstance(tile, Leaf | Rename) or (isinstance(tile, Map) and not tile.args)
            assert free or uses[tile] < 2 or tile in program.labels
        names = [label.name for label in program.labels.values()]
        assert len(names) == len({*names, *(leaf.name for leaf in leaves_of(program) if leaf not in program.labels)} & {*names})


def test_fuse_writes_a_value_that_one_map_reads_into_it() -> None:
    inner = entrywise(sp.exp(X), {"x": A})
    fused = fuse(once(entrywise(X + Y, {"x": inner, "y": B}))).outputs["o"]
    assert fused is entrywise(sp.exp(X) + Y, {"x": A, "y": B})


def test_fuse_leaves_a_value_with_a_label() -> None:
    inner = entrywise(sp.exp(X), {"x": A})
    program = once(entrywise(X + Y, {"x": inner, "y": B}), z=inner)
    assert (fuse(program).outputs, fuse(program).labels) == (program.outputs, program.labels)


def test_fuse_leaves_what_is_read_twice_or_by_something_else_than_a_map() -> None:
    inner = entrywise(sp.exp(X), {"x": A})
    for reader in (entrywise(X + Y, {"x": inner, "y": total(inner, "k")}), contract(inner, state_tile("W", ("k", "v")))):
        assert fuse(once(reader)).outputs["o"] is reader
    output = Program("p", {"o": entrywise(X + 1, {"x": inner}), "again": inner})
    assert fuse(output).outputs == output.outputs


def test_fuse_does_not_compute_an_exponential_once_per_entry_of_a_broadcast() -> None:
    """A product of powers may be repeated along an axis; anything dearer is computed before it is spread out."""
    dear, cheap = entrywise(sp.exp(X), {"x": B}), entrywise(2 * X**3, {"x": B})
    assert fuse(once(entrywise(X * Y, {"x": A, "y": dear}))).outputs["o"].args == (A, dear)
    assert fuse(once(entrywise(X * Y, {"x": A, "y": cheap}))).outputs["o"] is entrywise(2 * X * Y**3, {"x": A, "y": B})


def test_fuse_keeps_a_change_of_layout() -> None:
    turned = Map(("v", "k"), (input_tile("w", ("k", "v")),), (letter("x0"),))
    assert fuse(once(turned)).outputs["o"] is turned


def test_fuse_keeps_the_order_of_many_terms() -> None:
    terms = [entrywise(sp.tanh(i * X), {"x": input_tile(f"a{i}", ("c",))}) for i in range(14)]
    readers = {f"t{i:02}": term for i, term in enumerate(terms)}
    whole = entrywise(sp.Add(*map(letter, readers)), readers)
    assert [leaf.name for leaf in fuse(once(whole)).outputs["o"].args if isinstance(leaf, Leaf)] == [f"a{i}" for i in range(1, 14)]


def test_name_calls_a_shared_value_by_a_number_in_the_section_that_reads_it() -> None:
    shared = entrywise(sp.exp(X), {"x": A})
    z = entrywise(X * Y, {"x": shared, "y": total(shared, "k")})
    named = name(Program("p", {"o": z}, {z: LABEL}))
    assert named.labels[shared] == Label("t1", "τ₁", "memory", "memory", automatic=True)
    assert list(named.labels) == [shared, z]


def test_name_avoids_the_names_that_are_taken() -> None:
    shared, taken = entrywise(sp.exp(X), {"x": A}), input_tile("t1", ("c",))
    z = entrywise(X * Y, {"x": shared, "y": total(shared, "k")})
    assert name(Program("p", {"o": z, "l": taken})).label(shared) == "t2"
    assert name(once(z, t1=z)).label(shared) == "t2"


def test_leaves_constants_and_renamed_tiles_need_no_name() -> None:
    renamed, half = rename(A, "c", "j"), constant(length("v") / 2, ("c", "k"))
    both = {"o": contract(A, renamed), "r": renamed, "h": half, "again": half}
    assert name(Program("p", both)).labels == {}


def test_the_verifier_runs_after_every_pass() -> None:
    def breaks(program: Program) -> Program:
        return Program(program.name, {"o": Map(("c",), (A,), (letter("x0"),))})

    with pytest.raises(InternalError, match="an axis that the result lacks"):
        run_passes(once(A), [breaks, name])


def test_reuse_writes_the_pullback_of_a_row_of_length_one_with_that_row() -> None:
    g, size = input_tile("g", ("c", "k")), entrywise(rsqrt(X), {"x": total(entrywise(X**2, {"x": A}), "k")})
    row = entrywise(X * Y, {"x": A, "y": size})
    pulled = fuse(once(cotangents({row: g}, [A])[A], n=row, r=size))
    reused = reuse(Program("p", {**pulled.outputs, "row": row}, once(row, n=row, r=size).labels)).outputs["o"]
    (weighed,) = {*reused.args} - {g, size, row}  # r g − r Σ(g n) n
    assert {*weighed.args[0].args} == {g, row}


def test_reuse_makes_a_row_of_length_one_where_nothing_else_reads_it() -> None:
    """The surprise of a loss that is linear in the prediction: 1/‖c‖ to the third is 0 in float32 where the length is 10¹⁶."""
    g, size = input_tile("g", ("c", "k")), entrywise(rsqrt(X), {"x": total(entrywise(X**2, {"x": A}), "k")})
    row = entrywise(X * Y, {"x": A, "y": size})
    pulled = fuse(once(cotangents({row: g}, [A])[A]))
    reused = run_passes(pulled, (reuse, name))
    assert row in reused.labels
    values = random_leaves(pulled, LENGTHS)
    np.testing.assert_allclose(interpret(reused, values)["o"], interpret(pulled, values)["o"], rtol=1e-12)
    assert not any(
        size in node.args and node.expr.has(placeholder(node.args.index(size)) ** 3) for node in nodes_of(reused) if isinstance(node, Map)
    )


def test_reuse_leaves_a_sum_that_is_not_multiplied_with_both_factors_again() -> None:
    row = entrywise(X * Y, {"x": A, "y": B})
    weighed = total(entrywise(X * Y, {"x": A, "y": input_tile("g", ("c", "k"))}), "k")
    for reader in (X * letter("s"), X * Y * letter("s"), Y**2 * letter("s")):
        program = Program("p", {"o": entrywise(reader, {"x": A, "y": B, "s": weighed}), "row": row}, once(row, n=row).labels)
        assert reuse(program).outputs == program.outputs
