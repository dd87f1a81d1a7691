"""Random programs: building simplifies without changing the value, the adjoint is the slope, passes keep both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.expression_value import Array, random_leaves
from kit.random_programs import LENGTHS, Plain, Simplified, Step, X, build_program, largest_error, recipes
from miras_compiler.ir import build
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Map, Node
from miras_compiler.ir.program import Program
from miras_compiler.ir.show import show
from miras_compiler.ir.traverse import nodes_of, rewrite
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes import run_passes


@pytest.mark.slow
@given(recipes(), st.integers(0, 2**32))
def test_what_build_simplifies_means_the_same(steps: list[Step], seed: int) -> None:
    plain, simplified = build_program(steps, Plain), build_program(steps, Simplified)
    aligned = {name: by_name(node) for name, node in simplified.outputs.items()}
    expected = {name: by_name(node) for name, node in plain.outputs.items()}
    values = random_leaves(plain, LENGTHS, seed)
    assert largest_error(interpret(Program("s", aligned), values), interpret(Program("p", expected), values)) < 1e-12


def by_name(node: Node) -> Node:
    """The tile with its axes in the order that all tiles share."""
    return Map(build.ordered(node.axes), (node,), (X,))


@given(recipes(), st.integers(0, 2**32))
def test_the_adjoint_is_the_slope_along_any_direction(steps: list[Step], seed: int) -> None:
    """Σ ⟨d_output, change of output⟩ by central differences, against Σ ⟨d_leaf, change of leaf⟩."""
    program = build_program(steps, Simplified)
    adjoint = verify_program(differentiate(program))
    values, direction = random_leaves(program, LENGTHS, seed), random_leaves(program, LENGTHS, seed + 1)
    generator = np.random.default_rng(seed + 2)
    width = 1e-6

    def outputs(sign: int) -> dict[str, Array]:
        return interpret(program, {name: x + sign * width * direction[name] for name, x in values.items()})

    above, below = outputs(1), outputs(-1)
    seeds = {f"d_{name}": generator.standard_normal(x.shape) for name, x in above.items()}
    slopes = [seeds[f"d_{name}"] * (x - below[name]) / (2 * width) for name, x in above.items()]
    gradients = interpret(adjoint, values | seeds)
    parts = [gradient * direction[name.removeprefix("d_")] for name, gradient in gradients.items()]
    size = 1 + max(float(np.abs(part).max()) for part in [*slopes, *parts])
    curvature = max(
        float(np.max(np.abs(x + below[name] - 2 * middle)))
        for (name, x), middle in zip(above.items(), interpret(program, values).values(), strict=True)
    )
    assert abs(sum(float(slope.sum()) for slope in slopes) - sum(float(part.sum()) for part in parts)) < 1e-6 * size + curvature


@given(recipes(), st.integers(0, 2**32))
@settings(max_examples=50)
def test_passes_keep_what_a_program_and_its_adjoint_mean(steps: list[Step], seed: int) -> None:
    program = build_program(steps, Simplified)
    for each in (program, differentiate(program)):
        passed = run_passes(each)
        values = random_leaves(each, LENGTHS, seed)
        assert largest_error(interpret(passed, values), interpret(each, values)) < 1e-11


@given(recipes())
@settings(max_examples=50)
def test_the_same_program_built_again_is_the_same_objects_in_the_same_order(steps: list[Step]) -> None:
    first, again = build_program(steps, Simplified), build_program(steps, Simplified)
    assert all(a is b for a, b in zip(nodes_of(first), nodes_of(again), strict=True))
    assert show(first) == show(again)
    copied = rewrite(first, lambda node, args: type(node)(node.axes, args, node.fields))
    assert copied.outputs == first.outputs
    assert show(differentiate(first)) == show(differentiate(again))
