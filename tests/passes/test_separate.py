"""Separate: the rows of windows as those of a tile's own tokens and those of the tokens before it."""

from __future__ import annotations

import numpy as np
import pytest

from kit.compiled import compilation
from miras_compiler import compile_spec, load_spec
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.separate import separate_past

TOKENS, BEFORE = 5, 3
LENGTHS = {**dict.fromkeys("cij", TOKENS), "k": 4, "n": 3, "v": 2, "l": BEFORE}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("omega_net", {"memory.residual": False}),
        ("yaad", {"attentional_bias.window": 4, "gates.gamma.per": "head", "memory.residual": False}),
    ],
)
def test_own_rows_and_those_before_a_tile_add_up_to_the_rows_of_all_windows(name: str, changes: dict[str, object]) -> None:
    program = compile_spec(load_spec(f"specs/{name}.yaml", changes)).program
    parted, random = run_passes(program, [separate_past, *PASSES]), np.random.default_rng(0)
    values = {leaf.name: 0.3 + random.random([{**LENGTHS, "s": TOKENS}[axis] for axis in leaf.axes]) for leaf in leaves_of(parted)}
    whole = dict(values)
    for leaf in leaves_of(program):
        if leaf.name == "gamma_rows":
            whole[leaf.name] = np.concatenate([values["gamma_past"], values["gamma_own"]], 1)
        elif "s" in leaf.axes:
            own = "k_features" if leaf.name == "k_rows_features" else leaf.name.removesuffix("_rows")
            whole[leaf.name] = np.concatenate([values[f"{own}_past"], values[own]])
    expected = interpret(program, {leaf.name: whole[leaf.name] for leaf in leaves_of(program)}, {**LENGTHS, "s": BEFORE + TOKENS})
    found = interpret(parted, values, {**LENGTHS, "s": TOKENS})
    assert found.keys() == expected.keys()
    for output, x in expected.items():
        np.testing.assert_allclose(found[output], x, rtol=1e-12, err_msg=output)


def test_a_program_without_shared_rows_stays_as_it_is() -> None:
    program = compilation("yaad").program
    assert nodes_of(separate_past(program)) == nodes_of(program)
