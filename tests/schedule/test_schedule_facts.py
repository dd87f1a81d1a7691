"""Facts about kernels: bytes that cross between them, tiles that are computed again, registers and shared memory."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import sympy as sp

from kit.compiled import compilation
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import contract, entrywise, input_tile, rename, state_tile
from miras_compiler.ir.nodes import Node
from miras_compiler.ir.program import Label, Program
from miras_compiler.schedule import Kernel, Schedule, kernel_facts
from miras_compiler.schedule.kernel import Result, Role, Walk
from miras_compiler.schedule.pressure import estimate_pressure

LENGTHS = {"c": 64, "i": 64, "k": 32, "v": 16}
A, B, C = letter("a"), letter("b"), letter("c")
SQUARE = 64 * 64 * 4  # bytes of a tile of tokens by tokens in float32


def kernel(name: str, outputs: Mapping[str, Node], roles: Mapping[str, Role], results: Mapping[str, Result], walk: Walk = "each") -> Kernel:
    labels = {node: Label(output, output, "", "") for output, node in outputs.items()}
    return Kernel(name, walk, Program(name, outputs, labels), roles, results)


def scores() -> Node:
    return contract(input_tile("q", ("c", "k")), rename(input_tile("k", ("c", "k")), "c", "i"))


def test_a_product_of_rows_has_its_sum_in_registers_and_its_operands_in_shared_memory() -> None:
    found = estimate_pressure(kernel("prep", {"P": scores()}, {"q": "token", "k": "token"}, {"P": "saved"}), LENGTHS)
    assert found.live == SQUARE
    assert found.registers == (math.ceil(1.2 * SQUARE), math.ceil(2.3 * SQUARE))
    assert found.shared == 2 * (64 * 32 * 2)


@pytest.mark.parametrize(("expr", "tiles"), [(A * B + sp.exp(C), 3), (A * B, 2), (sp.exp(A), 1)])
def test_the_arguments_of_an_entry_by_entry_function_are_alive_together(expr: sp.Expr, tiles: int) -> None:
    leaves = {name: input_tile(name, ("c", "i")) for name in "abc"}
    used = {name: leaf for name, leaf in leaves.items() if letter(name) in expr.free_symbols}
    found = estimate_pressure(kernel("x", {"y": entrywise(expr, used)}, dict.fromkeys(used, "saved"), {"y": "saved"}), LENGTHS)
    assert found.live == tiles * SQUARE


def test_a_schedule_computes_a_small_branch_before_the_large_one_that_waits_for_it() -> None:
    """exp(a) + exp(b) + …: one sum grows, whatever the order in which the terms are named."""
    total: Node = entrywise(sp.exp(A), {"a": input_tile("x0", ("c", "i"))})
    for number in range(1, 6):
        term = contract(input_tile(f"x{number}", ("c", "k")), rename(input_tile(f"y{number}", ("c", "k")), "c", "i"))
        total = entrywise(A + B, {"a": term, "b": total})
    names = [f"{letter}{number}" for number in range(6) for letter in "xy" if (letter, number) != ("y", 0)]
    found = estimate_pressure(kernel("sum", {"y": total}, dict.fromkeys(names, "token"), {"y": "saved"}), LENGTHS)
    assert found.live == 2 * SQUARE


def test_a_carried_tile_is_alive_from_the_start_and_its_successor_to_the_end() -> None:
    state = state_tile("W", ("k", "v"))
    seen = contract(input_tile("k", ("c", "k")), state)
    after = entrywise(A + B, {"a": state, "b": contract(input_tile("k", ("c", "k")), seen)})
    walk = kernel("main", {"W": after}, {"W": "carried", "k": "token"}, {"W": "carried"}, "forward")
    assert estimate_pressure(walk, LENGTHS).live == (2 * 32 * 16 + 64 * 16) * 4 - 32 * 16 * 4


def test_an_axis_that_is_taken_in_blocks_counts_as_one_block_and_a_state_over_it_stays_in_memory() -> None:
    state = state_tile("W", ("k", "n"))
    seen = contract(input_tile("k", ("c", "k")), state)
    read = contract(seen, input_tile("U", ("n", "v")))
    after = entrywise(A + B, {"a": state, "b": contract(input_tile("k", ("c", "k")), seen)})
    roles: dict[str, Role] = {"W": "carried", "k": "token", "U": "saved"}
    walk = kernel("main", {"W": after, "o": read}, roles, {"W": "carried", "o": "token"}, "forward")
    lengths = {**LENGTHS, "n": 256}
    whole, blocked = (estimate_pressure(walk, lengths, blocks).live for blocks in (None, {"n": 64}))
    assert whole >= 2 * 32 * 256 * 4  # the state, and the next one
    assert blocked <= (2 * 32 * 64 + 64 * 64 + 64 * 16) * 4


def test_widths_count_as_the_power_of_two_that_they_are_padded_to() -> None:
    prep = kernel("prep", {"P": scores()}, {"q": "token", "k": "token"}, {"P": "saved"})
    assert estimate_pressure(prep, {**LENGTHS, "k": 24}) == estimate_pressure(prep, LENGTHS)


def test_bytes_that_cross_and_what_is_computed_again_are_found_by_meaning() -> None:
    """The second kernel loads P and computes the squares of the scores again, out of P; the third out of the rows."""
    roles: dict[str, Role] = {"q": "token", "k": "token"}
    squares = entrywise(A**2, {"a": scores()})
    first = kernel("prep", {"P": scores(), "S": squares}, roles, {"P": "saved", "S": "saved"})
    read = kernel("read", {"S": entrywise(A**2, {"a": input_tile("P", ("c", "i"))})}, {"P": "saved"}, {"S": "saved"})
    third = kernel("post", {"P": scores(), "S": squares}, roles, {"P": "saved", "S": "saved"})
    facts = kernel_facts(Schedule((first, read), (third,), ""), LENGTHS)
    assert [each.loads for each in facts] == [{}, {"P": SQUARE}, {}]
    assert [each.saves for each in facts] == [{"P": SQUARE, "S": SQUARE}, {"S": SQUARE}, {"P": SQUARE, "S": SQUARE}]
    assert [each.again for each in facts] == [(), ("S",), ("P", "S")]
    rows = 2 * (64 * 32 * 2)
    assert [each.moved for each in facts] == [rows + 2 * SQUARE, 2 * SQUARE, rows + 2 * SQUARE]


@pytest.mark.slow
def test_explain_names_every_kernel_with_what_it_loads_saves_and_needs() -> None:
    made = compilation("gated_delta_net")
    text = made.explain(kernels=True)
    assert "Triton kernels, over tiles of 64 tokens" in text
    for facts in made.kernel_facts():
        told = text.partition(f"    {facts.name}: ")[2]
        assert f"{facts.products} product" in told.splitlines()[0]
        assert all(name in told for name in (*facts.loads, *facts.saves, *facts.again, *facts.gives))
        assert f"registers {facts.pressure.registers[0] / 1024:.0f}" in told
