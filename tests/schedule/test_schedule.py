"""Schedules: where a chunk program is cut, and the kernels together compute the program and its adjoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kit.compiled import compilation
from miras_compiler import compile_spec, verify_package
from miras_compiler.expressions.symbols import letter
from miras_compiler.ir.build import constant, entrywise, mask, rename, state_tile
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Axes, Contract, ForwardSubstitute, Leaf, Node, Rename, Start, State, TriangularSolve
from miras_compiler.ir.program import Program
from miras_compiler.ir.rows import bracket, triangular_solve
from miras_compiler.ir.traverse import dependents, leaves_of, nodes_of, rewrite
from miras_compiler.passes import PASSES, run_passes
from miras_compiler.passes.brackets import Brackets
from miras_compiler.passes.enter import START, enter_chunk
from miras_compiler.passes.invert import TriangularInverse, invert_triangles, is_solve
from miras_compiler.schedule import Kernel, Schedule
from miras_compiler.schedule.cut import build_cut
from miras_compiler.schedule.projections import projections
from miras_compiler.spec import parse_spec

NAMES = ("linear_attention", "gated_delta_net", "titans_lmm", "yaad", "momentum_huber", "kl_delta")
LENGTHS = {"c": 6, "i": 6, "j": 6, "k": 3, "n": 4, "v": 3}


def schedule_of(name: str) -> tuple[Program, Schedule]:
    made = compilation(name)
    program = run_passes(made.program, [enter_chunk, *PASSES])
    return program, build_cut(program, run_passes(made.adjoint, [enter_chunk]), "")


def products(kernel: Kernel) -> int:
    return sum(isinstance(node, Contract) for node in nodes_of(kernel.program))


def by_name(schedule: Schedule) -> dict[str, Kernel]:
    return {kernel.name: kernel for kernel in schedule.kernels}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_parallel_kernels_depend_on_nothing_carried(name: str) -> None:
    _, schedule = schedule_of(name)
    for kernel in schedule.kernels:
        assert bool(kernel.leaves("carried")) == (kernel.walk != "each")


def test_the_gated_delta_rule_walks_with_three_products_each_way() -> None:
    kernels = by_name(schedule_of("gated_delta_net")[1])
    assert products(kernels["main"]) == 3
    assert products(kernels["seq"]) == 3


def test_linear_attention_walks_without_any_product() -> None:
    kernels = by_name(schedule_of("linear_attention")[1])
    assert products(kernels["main"]) == products(kernels["seq"]) == 0


def test_the_inverse_is_computed_once_and_loaded_by_the_walks() -> None:
    _, schedule = schedule_of("gated_delta_net")
    makers = [k.name for k in schedule.kernels if any(isinstance(node, TriangularInverse) for node in nodes_of(k.program))]
    assert makers == ["prep"]
    assert {"Inv"} <= set(by_name(schedule)["seq"].leaves("saved"))


def test_a_solve_keeps_digits_that_other_products_lose() -> None:
    """The inverse is stored in float32, and is read by one product in each walk."""
    _, schedule = schedule_of("gated_delta_net")
    assert all("Inv" in kernel.inverses and "Inv" not in kernel.narrow for kernel in schedule.kernels)
    solves = {k.name: sum(isinstance(n, Contract) and is_solve(n, k.inverses) for n in nodes_of(k.program)) for k in schedule.kernels}
    assert solves == {"prep": 0, "main": 1, "read": 0, "pre": 0, "seq": 1, "post": 0}


def test_a_substitution_whose_coefficients_the_walk_itself_computes_is_walked() -> None:
    """Coefficients of rows lie in memory before the walk; the preconditioner, which is carried, is a factor of these."""
    fields = {
        "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "huber_norm", "delta": 0.7}, "optimizer": {"kind": "preconditioned"},
        "retention": {"kind": "none", "order": "before_gradient"}, "gates": {name: {"per": "head"} for name in ("eta", "alpha_d", "eta_d")},
    }  # fmt: skip
    made = compile_spec(parse_spec(json.dumps({"name": "preconditioned_huber", **fields}), "preconditioned_huber.yaml"))
    assert made.schedule is None
    assert made.walk is not None


def test_a_backward_pass_that_writes_the_right_side_otherwise_reads_the_brackets_of_the_forward_pass() -> None:
    """Here it shares a factor of that side with the gradients: brackets are the same only if they are taken from there."""
    fields = {
        "memory": {"kind": "matrix", "norm": "layer"}, "attentional_bias": {"kind": "epsilon_insensitive", "epsilon": 0.5},
        "optimizer": {"kind": "momentum"}, "feature_map": {"kind": "softmax"}, "chunk": {"size": 4, "read": "before_write"},
        "retention": {"kind": "none", "order": "after_gradient"}, "gates": {name: {"per": "head"} for name in ("eta", "mu")},
    }  # fmt: skip
    made = compile_spec(parse_spec(json.dumps({"name": "shared_factor", **fields}), "shared_factor.yaml"))
    assert made.schedule is not None
    found = [node for kernel in made.schedule.backward for node in nodes_of(kernel.program) if isinstance(node, Brackets)]
    assert [node.transposed for node in found] == [True]


def test_the_brackets_of_a_substitution_are_computed_once_and_kept_in_float32() -> None:
    """A bias with a kink has its slope at them: recomputed or rounded ones would lie on the other side of it now and then."""
    kernels = by_name(schedule_of("momentum_huber")[1])
    made = {name: [node.transposed for node in nodes_of(k.program) if isinstance(node, Brackets)] for name, k in kernels.items()}
    assert {name: each for name, each in made.items() if each} == {"main": [False], "seq": [True]}
    assert "U_bracket" in kernels["main"].outputs("saved")
    assert "U_bracket" in kernels["seq"].leaves("saved")
    assert all("U_bracket" not in kernel.narrow for kernel in kernels.values())


def test_a_state_of_one_axis_is_saved_in_float32_and_a_matrix_in_the_type_of_the_tokens() -> None:
    """A preconditioner is read by functions, which take over its error; and the gradient of its decay sums it up with its own gradient."""
    kernels = by_name(schedule_of("preconditioned_gdn")[1])
    assert {name: name in kernels["main"].narrow for name in kernels["main"].entries.values()} == {"W_at": True, "preconditioner_at": False}
    assert {name: name in kernels["seq"].narrow for name in kernels["seq"].entries.values()} == {
        "d_W_at": True,
        "d_preconditioner_at": False,
    }


def test_a_part_of_a_gates_gradient_is_kept_in_float32() -> None:
    """Nothing sums it up behind the other part, so its rounding would stay; that of a row ends in a row of the same type."""
    schedule = compilation("gla").schedule
    assert schedule is not None
    pre = by_name(schedule)["pre"]
    parts = {name: name in pre.narrow for name in pre.program.outputs if name.startswith(("d_k_", "d_log_"))}
    assert parts == {"d_k_from_q_k": True, "d_log_alpha_early": False}


@pytest.mark.slow
def test_what_a_layernorm_reads_is_not_rounded_by_a_buffer() -> None:
    """The reads of the weights and the momentum of the chunk's start: a rest of either would stay in the gradient of its decay."""
    program = run_passes(enter_chunk(compilation("titans_lmm").program))
    found = [node for node in projections(program) if isinstance(node, Contract)]
    assert {name for node in found for name in (arg.name for arg in node.args if isinstance(arg, State))} == {"W2", "W2_momentum"}
    saved = [node for kernel in schedule_of("titans_lmm")[1].kernels for node in kernel.program.outputs.values()]
    reads = [node for node in saved if isinstance(node, Contract) and node.axes == ("c", "v")]
    assert "W2_momentum_at" not in {arg.name for node in reads for arg in node.args if isinstance(arg, Leaf)}


@pytest.mark.slow
def test_a_sum_of_a_product_is_handed_on_as_a_row() -> None:
    """The gradient of the momentum's coefficient sums up reads of the momentum: the kernel that adds the last to it reads W2 no more."""
    kernels = by_name(schedule_of("titans_lmm")[1])
    assert "W2_momentum_at" in kernels["pre"].leaves("saved")
    assert "W2_momentum_at" not in kernels["pre3"].leaves("saved")


@pytest.mark.slow
def test_rows_are_taken_out_of_products_that_are_added_up() -> None:
    """n · (d₂ S₂ᵀ) + G · (d₂ W₂ᵀ): the products with the carried gradients read other tiles as they were loaded."""
    seq = by_name(schedule_of("titans_lmm")[1])["seq"]
    states = {f"d_{name}" for name in ("W1", "W1_momentum", "W2", "W2_momentum")}
    products = [node for node in nodes_of(seq.program) if isinstance(node, Contract)]
    carried = [node.args for node in products if any(isinstance(arg, Leaf) and arg.name in states for arg in node.args)]
    assert len(carried) == 6
    assert all(isinstance(arg, Leaf | Rename) for args in carried for arg in args)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_a_kernel_loads_an_earlier_one_has_saved(name: str) -> None:
    _, schedule = schedule_of(name)
    saved: set[str] = set()
    for kernel in schedule.kernels:
        assert set(kernel.leaves("saved")) <= saved
        saved |= {*kernel.outputs("saved"), *kernel.entries.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("goes_on", [False, True])
def test_the_kernels_compute_the_program_and_its_adjoint(name: str, goes_on: bool) -> None:
    """On one tile, in float64: run in order, buffers filled on the way. A chunk that goes on was entered with another state."""
    _, schedule = schedule_of(name)
    whole = {**compilation(name).program.outputs, **compilation(name).adjoint.outputs}
    leaves = leaves_of(Program("both", whole))
    generator = np.random.default_rng(0)
    values = {leaf.name: generator.uniform(-0.5, 0.5, [LENGTHS[axis] for axis in leaf.axes]) for leaf in leaves}
    values |= {name: np.ones_like(x) for name, x in values.items() if name == "valid"}
    if not goes_on:
        values |= {name: values[name.removesuffix(START)] for name in values if name.endswith(START)}
    expected = interpret(Program("both", whole), values)
    found: dict[str, np.ndarray] = {}
    for kernel in schedule.kernels:
        if kernel.walk == "forward":
            values |= {buffer: values[state] for state, buffer in kernel.entries.items()}
        if kernel.walk == "reverse":
            values |= {buffer: values[state] for state, buffer in kernel.entries.items()}
        results = interpret(spelled_out(kernel.program, goes_on), values)
        values |= {name: results[name] for name in kernel.outputs("saved")}
        found |= {name: results[name] for name in kernel.outputs("token", "carried", "start", "total")}
    assert set(found) == set(expected) - {"d_valid"}
    for output, value in found.items():
        np.testing.assert_allclose(value, expected[output], rtol=1e-9, atol=1e-11, err_msg=output)


def spelled_out(program: Program, goes_on: bool) -> Program:
    """The program with the solution of (I + L) X = I in place of inverses, and R − L X in place of brackets: the interpreter knows neither.

    Of a chunk that `goes_on`, with the state that entered it.
    """
    one = constant(1, ("c", "i"))
    identity = entrywise(letter("a") - letter("b"), {"a": mask(one, "c", "i", 0), "b": mask(one, "c", "i", 1)}, ("c", "i"))

    def rule(node: Node, args: tuple[Node, ...]) -> Node:
        if isinstance(node, TriangularInverse):
            return rename(triangular_solve(args[0], identity), "i", "c")
        if isinstance(node, Brackets):
            whole = ForwardSubstitute(swapped(args[0], args[1]), args, node.fields)
            return bracket(whole)
        if isinstance(node, Start) and goes_on:
            return state_tile(node.name, node.axes)
        return type(node)(node.axes, args, node.fields)

    return rewrite(program, rule)


def swapped(lower: Node, right: Node) -> Axes:
    """The axes of a solution: those of the right side, with the other token axis of the triangle."""
    row, column = lower.axes
    return tuple({row: column, column: row}.get(axis, axis) for axis in right.axes)


def test_inverting_triangles_leaves_no_solve() -> None:
    program = invert_triangles(compilation("gated_delta_net").program)
    assert not any(isinstance(node, TriangularSolve) for node in nodes_of(program))
    assert "(I + L)⁻¹" in {label.letters for label in program.labels.values()}


def test_a_chunk_that_begins_with_the_tile_has_no_start_of_its_own() -> None:
    program = compilation("yaad").program
    assert any(leaf.name.endswith(START) for leaf in leaves_of(program))
    entered = enter_chunk(program)
    assert not any(leaf.name.endswith(START) for leaf in leaves_of(entered))
    starts = {node.name: entered.label(node.args[0]) for node in nodes_of(entered) if isinstance(node, Start)}
    assert starts == {"W1_start": "W1", "W2_start": "W2"}


WALKED = {
    "memora": "the weights of every token are formed (retention kl, optimizer gradient_descent)",
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "reason"), WALKED.items())
def test_a_program_that_no_kernel_over_tiles_can_be_printed_of_says_why(name: str, reason: str) -> None:
    made = compilation(name)
    assert made.schedule is None
    manifest = next(file.text for file in made.files if file.path == "manifest.json")
    assert reason in manifest


@pytest.mark.parametrize(("size", "printed"), [(16, True), (7, False)])
def test_sums_of_tokens_that_divide_need_a_tile_without_padding(size: int, printed: bool) -> None:
    """Found by a random spec: softmax(v) is v's exponentials, in a buffer, over their sum; behind the last token both are 0."""
    fields = {"memory": {"kind": "matrix"}, "attentional_bias": {"kind": "kl"}, "retention": {"kind": "l2", "order": "after_gradient"}}
    chunk = {"size": size, "gradient": "chunk_start", "read": "chunk_start"}
    gates = {"eta": {"per": "head"}, "alpha": {"per": "head"}}
    spec = parse_spec(json.dumps({"name": "softened", **fields, "chunk": chunk, "gates": gates}), "softened.yaml")
    assert bool(compile_spec(spec).schedule) == printed


@pytest.mark.slow
@pytest.mark.parametrize("per", ["head", "value_channel"])
def test_a_linear_path_counts_its_decay_in_the_chunk_in_progress_alone(tmp_path: Path, per: str) -> None:
    """Found by a random spec: tiles handed the decay since the chunk's start on to the next chunk."""
    fields = {"memory": {"kind": "vector"}, "attentional_bias": {"kind": "l2"}, "retention": {"kind": "sigmoid"}}
    chunk = {"size": 16, "gradient": "chunk_start", "read": "chunk_start", "retention": "chunk_end"}
    gates = {"eta": {"per": "head"}, "alpha": {"per": per}}
    made = compile_spec(parse_spec(json.dumps({"name": "on_a_path", **fields, "chunk": chunk, "gates": gates}), "on_a_path.yaml"))
    assert made.schedule is not None
    report = verify_package(made.spec, made.write(tmp_path), quick=True)
    assert not [row for row in report.findings if row.check == "triton" and not row.passed]
    assert any(row.check == "triton" for row in report.findings)


@pytest.mark.slow
def test_the_walk_holds_all_that_the_next_state_is_made_of() -> None:
    program, schedule = schedule_of("titans_lmm")
    main = by_name(schedule)["main"]
    states = [leaf for leaf in leaves_of(main.program) if leaf.name in program.outputs]
    reached = dependents(main.program.outputs.values(), states)
    assert all(main.program.outputs[name] in reached for name in main.outputs("carried"))
