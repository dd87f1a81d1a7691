"""Sums that a kernel has as part of a product: a product less, the same numbers, and only where operands are not rounded."""

from __future__ import annotations

import numpy as np
import pytest

from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import contract, entrywise, input_tile, total
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Contract, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.passes.regroup import regroup_sums

A, B, C = input_tile("d_o", ("c", "v")), input_tile("q", ("c", "k")), input_tile("W", ("k", "v"))
LENGTHS = {"c": 3, "k": 4, "v": 5}


def sums(factor: int, *, beside: bool = True, read_twice: bool = False) -> Program:
    """Σ_v d_o (factor · q W), beside d_o Wᵀ, which has the same sum, too."""
    product = contract(B, C)
    row = total(entrywise(letter("a") * letter("b") * factor, {"a": A, "b": product}), "v")
    outputs: dict[str, Node] = {"d_beta": row} | ({"d_q": contract(A, C)} if beside else {}) | ({"o": product} if read_twice else {})
    return Program("post", outputs)


def products(program: Program) -> int:
    return sum(isinstance(node, Contract) for node in nodes_of(program))


@pytest.mark.parametrize("factor", [1, -2])
def test_a_sum_of_a_product_is_taken_of_another_one_that_is_there(factor: int) -> None:
    before = sums(factor)
    after = regroup_sums(before, {A, C})
    assert (products(before), products(after)) == (2, 1)
    generator = np.random.default_rng(0)
    tiles = {name: generator.standard_normal([LENGTHS[a] for a in axes]) for name, axes in {"d_o": "cv", "q": "ck", "W": "kv"}.items()}
    expected, found = interpret(before, tiles), interpret(after, tiles)
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-12)


@pytest.mark.parametrize(
    ("program", "exact"),
    [
        (sums(1, beside=False), {A, C}),  # there is no other product
        (sums(1, read_twice=True), {A, C}),  # something else reads the product
        (sums(1), {C}),  # products would round an operand that the sum does not
        (sums(1), {A}),
    ],
)
def test_a_sum_stays_as_it_is_where_that_saves_nothing_or_costs_digits(program: Program, exact: set[Node]) -> None:
    assert regroup_sums(program, exact).outputs == program.outputs
