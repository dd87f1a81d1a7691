"""Products under decays per channel: as nodes of their own they mean the same, forward and in reverse, with tiles of two axes alone."""

from __future__ import annotations

import numpy as np
import pytest

from kit.compiled import compilation
from kit.expression_value import random_leaves
from miras_compiler.errors import InternalError
from miras_compiler.ir.build import input_tile
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Decayed
from miras_compiler.ir.program import Program
from miras_compiler.ir.rows import decayed
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.ir.verify import verify_program
from miras_compiler.passes.decays import contract_decays, derivatives_together

LENGTHS = {"c": 5, "j": 5, "k": 3, "v": 3}
PER_CHANNEL = {  # by spec, the derivatives by which the contracted products are written
    "gla": {"scores"}, "kda": {"scores"}, "dfw": {"scores", "rows"}, "rwkv7": {"scores"}, "vector_gate": {"rows"},
    "value_gated_delta": {"rows"}, "value_gated_huber": {"rows"}, "vector_delta": set(),
}  # fmt: skip


@pytest.mark.parametrize("name", PER_CHANNEL)
def test_decays_per_channel_need_tiles_of_two_axes_alone(name: str) -> None:
    """The reverse mode of the tile of three axes is the oracle of that of the node."""
    made = compilation(name)
    program = verify_program(contract_decays(made.program))
    adjoint = verify_program(differentiate(program))
    assert {node.part for node in nodes_of(program) if isinstance(node, Decayed)} == PER_CHANNEL[name]
    for found, expected in ((program, made.program), (adjoint, made.adjoint)):
        assert max(len(node.axes) for node in nodes_of(found)) == 2
        assert max(len(node.axes) for node in nodes_of(expected)) == 3
        values = random_leaves(expected, LENGTHS)
        values |= {leaf: -np.abs(x) for leaf, x in values.items() if leaf.startswith("log_")}
        results, wanted = interpret(found, values), interpret(expected, values)
        assert list(results) == list(wanted)
        for output, value in wanted.items():
            np.testing.assert_allclose(results[output], value, rtol=1e-10, atol=1e-12, err_msg=output)


def test_a_rule_without_decays_per_channel_stays_as_it_is() -> None:
    program = compilation("gated_delta_net").program
    assert contract_decays(program).outputs == program.outputs


def test_a_derivative_that_a_factor_is_computed_from_is_not_computed_with_it() -> None:
    scores, k, logs = input_tile("scores", ("c", "j")), input_tile("k", ("j", "k")), input_tile("log_alpha", ("c", "k"))
    value = decayed("rows", {"scores": scores, "columns": k, "logs": logs}, 0, exclusive=False)
    factors = {"scores": scores, "rows": value, "columns": k, "logs": logs}
    by_columns = decayed("columns", {name: factors[name] for name in ("scores", "rows", "logs")}, 0, exclusive=False)
    by_logs = decayed("logs", factors, 0, exclusive=False)
    together = derivatives_together(nodes_of(Program("adjoint", {"d_k": by_columns, "d_logs": by_logs})))
    assert together == {by_logs: {"columns": by_columns, "logs": by_logs}, by_columns: {"columns": by_columns, "logs": by_logs}}


def test_factors_whose_axes_do_not_fit_are_refused() -> None:
    q, k, logs = input_tile("q", ("c", "k")), input_tile("k", ("j", "k")), input_tile("log_alpha", ("c", "k"))
    scores = decayed("scores", {"rows": q, "columns": k, "logs": logs}, 0, exclusive=False)
    verify_program(Program("fits", {"o": scores}))
    turned = Decayed(scores.axes, (k, q, logs), scores.fields)
    with pytest.raises(InternalError, match="axes are not those of a product under decays"):
        verify_program(Program("turned", {"o": turned}))
