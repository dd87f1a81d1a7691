"""The walk over tokens: its phases and their adjoints as programs, and its kernels in Triton's interpreter, forward and backward."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.compiled import compilation
from kit.interpreter import interpreted
from miras_compiler import compile_spec, load_spec
from miras_compiler.derive import derive_update_rule
from miras_compiler.ir.build import contract, input_tile, times, total
from miras_compiler.ir.interpret import interpret
from miras_compiler.ir.nodes import Contract, Leaf
from miras_compiler.ir.program import Program
from miras_compiler.ir.traverse import leaves_of, nodes_of
from miras_compiler.passes.products import choose_products
from miras_compiler.schedule import Walk, build_walk

pytestmark = pytest.mark.slow

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
LENGTHS = dict.fromkeys(("k", "v", "n", "n1", "n2", "p", "p2"), 3) | {"j": 2}  # the rows that Muon multiplies may be keys, or hidden
SMALL: dict[str, object] = {"chunk.size": 5}
ONE_CASE = ("a total that is found by bisection", "Muon for every token, windows with features")  # long ones, in Triton's interpreter
BEFORE_DECAYS: dict[str, object] = {"retention.order": "after_gradient"}  # a window that no tiles have, under decays per channel
WALKED: dict[str, dict[str, dict[str, object]]] = {  # by the features of their walks
    "a bias that no triangle solves, values forgotten channel by channel": {"value_gated_huber": {"retention.kind": "sigmoid"}},
    "decays per channel, three keys": {"rwkv7": {}},
    "a mirror map, and a state that is read along a line": {"entropy_memory": SMALL, "moneta": SMALL},
    "a memory that is a vector": {"vector_huber": {"retention.kind": "sigmoid"}},
    ONE_CASE[0]: {"chi_square_memory": {}},
    "windows with gates of their own": {"omega_huber": BEFORE_DECAYS},
    ONE_CASE[1]: {"atlas": SMALL},
    "Muon at the end of a chunk": {"lact": {**SMALL, "layer.head_dim": 4}},
}


def walk_of(name: str) -> Walk:
    return build_walk(derive_update_rule(load_spec(f"specs/{name}.yaml")))


def drawn(leaf: Leaf, random: np.random.Generator) -> NDArray[np.float64]:
    """Values of order 1; logarithms of decays, and positive values."""
    x = random.standard_normal([LENGTHS[axis] for axis in leaf.axes])
    if leaf.name.startswith("log_"):
        return -0.1 * np.abs(x)
    return 0.2 + np.abs(x) if leaf.name in ("delta", "eta", "eta_d", "preconditioner") else x


@pytest.mark.parametrize("name", ["huber_delta", "moneta", "lact", "omega_net", "rwkv7", "vector_delta", "preconditioned_gdn", "atlas"])
def test_the_adjoint_of_every_phase_is_that_of_finite_differences(name: str) -> None:
    """⟨d after, change of the outputs⟩ = ⟨d before, change of the inputs⟩, entries that a phase leaves alone included."""
    walk, random = walk_of(name), np.random.default_rng(0)
    for phase in walk.phases:
        leaves = {leaf.name: leaf for leaf in leaves_of(phase.program)}
        values = {each: drawn(leaf, random) for each, leaf in leaves.items()}
        for entry, axes in walk.states.items():
            values.setdefault(entry, random.standard_normal([LENGTHS[axis] for axis in axes]))
        changes = {each: random.standard_normal(x.shape) for each, x in values.items()}

        h, results = 1e-6, ["o", *walk.states] if "o" in phase.program.outputs else list(walk.states)
        here, above, below = (behind(phase.program, {each: x + step * changes[each] for each, x in values.items()}) for step in (0, h, -h))
        cotangents = {f"d_{each}": random.standard_normal(here[each].shape) for each in results}
        given = {each: {**values, **cotangents}[each] for each in leaves_named(phase.adjoint)}
        gradients = {f"d_{entry}": cotangents[f"d_{entry}"] for entry in walk.states} | interpret(phase.adjoint, given, LENGTHS)
        expected = sum(float((cotangents[f"d_{each}"] * (above[each] - below[each]) / (2 * h)).sum()) for each in results)
        found = sum(float((gradients[f"d_{each}"] * change).sum()) for each, change in changes.items() if f"d_{each}" in gradients)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-7), phase.program.name


def behind(program: Program, values: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The outputs of the program, and the values that it leaves as they are."""
    return values | interpret(program, {each: values[each] for each in leaves_named(program)}, LENGTHS)


def leaves_named(program: Program) -> list[str]:
    return [leaf.name for leaf in leaves_of(program)]


@pytest.mark.parametrize("name", ["atlas", "lact", "memora"])
def test_products_of_matrices_are_products_and_others_are_sums(name: str) -> None:
    """No tile of three axes is formed, and the program computes the same function."""
    rule, random = derive_update_rule(load_spec(f"specs/{name}.yaml")), np.random.default_rng(1)
    for program in (rule.step.program, rule.step.chunk_end):
        if program is None:
            continue
        chosen = choose_products(program)
        assert all(len(node.axes) < 3 for node in nodes_of(chosen))
        assert all(len(arg.axes) == 2 for node in nodes_of(chosen) if isinstance(node, Contract) for arg in node.args)
        values = {leaf.name: drawn(leaf, random) for leaf in leaves_of(program)}
        expected, found = interpret(program, values, LENGTHS), interpret(chosen, values, LENGTHS)
        for output, x in expected.items():
            assert found[output] == pytest.approx(x, rel=1e-9, abs=1e-12)


def test_a_product_of_a_vector_and_a_matrix_is_a_sum_and_a_sum_of_products_of_matrices_a_product() -> None:
    x, a, b = input_tile("x", ("k",)), input_tile("a", ("k", "v")), input_tile("b", ("n", "v"))
    chosen = choose_products(Program("p", {"y": contract(x, a), "z": total(times(a, b), "v")}))
    assert [isinstance(node, Contract) for node in chosen.outputs.values()] == [False, True]
    assert chosen.outputs["z"].axes == ("k", "n")


LONG = ("Muon at the end of a chunk", "Muon for every token, windows with features", "a mirror map, and a state that is read along a line")


@needs_triton
@pytest.mark.parametrize("what", [pytest.param(what, marks=[pytest.mark.thorough] if what in LONG else []) for what in WALKED])
def test_walks_agree_with_the_token_loop_in_float64(what: str, tmp_path: Path) -> None:
    """Outputs, final states and every gradient: packed, cut inside chunks and windows, a single token, weights alone; odd widths."""
    specs = WALKED[what]
    packages = [str(compile_spec(load_spec(f"specs/{name}.yaml", changes)).write(tmp_path)) for name, changes in specs.items()]
    told = json.loads(interpreted("tests/kit/walk_errors.py", "1" if what in ONE_CASE else "2", *packages))
    assert told.keys() == specs.keys()
    assert {(name, entry): pair for name, each in told.items() for entry, pair in each.items() if not pair[0] <= pair[1]} == {}


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("lengths", ["3", "1+2"])
def test_programs_share_out_the_values_of_a_state_that_is_too_large_for_one(lengths: str, tmp_path: Path) -> None:
    """Sums over the values, as in the gradients of keys and gates, are sums over programs then. Here a tile may have 512 numbers."""
    names = ["value_gated_huber", "elastic_net_memory"]
    for name in names:
        changes: dict[str, object] = {"retention.kind": "sigmoid"} if name == "value_gated_huber" else {}
        package = compile_spec(load_spec(f"specs/{name}.yaml", changes)).write(tmp_path)
        limits = (package / "runtime_limits.py").read_text(encoding="utf-8")
        assert "LARGEST = 1 << 16" in limits
        (package / "runtime_limits.py").write_text(limits.replace("LARGEST = 1 << 16", "LARGEST = 1 << 9"), encoding="utf-8")
    told = json.loads(interpreted("tests/kit/interpret_packages.py", "20", lengths, *(str(tmp_path / name) for name in names)))
    assert list(told) == names
    assert {(name, entry): pair for name, each in told.items() for entry, pair in each.items() if not pair[0] <= pair[1]} == {}


def test_values_are_shared_out_where_nothing_sums_over_them() -> None:
    """The Huber bias of a residual's length and a deep memory do; a window's rows and a preconditioner are of no share."""
    names = ("huber_delta", "entropy_memory", "huber_norm_delta", "titans_exact", "omega_delta", "preconditioned_gdn")
    assert [walk_of(name).split for name in names] == ["v", "v", "", "", "", ""]


@needs_triton
def test_a_state_that_is_too_large_is_refused_with_its_bytes_and_what_would_fit(tmp_path: Path) -> None:
    package = compile_spec(load_spec("specs/omega_huber.yaml", BEFORE_DECAYS)).write(tmp_path)
    script = (
        f"import sys, torch; sys.path.insert(0, {str(package.parent)!r})\n"
        "from omega_huber import chunk_omega_huber\n"
        "x, g = torch.zeros(1, 1, 1, 300), torch.zeros(1, 1, 1)\n"
        "try: chunk_omega_huber(x, x, x, log_alpha=x, eta=g, gamma=x[..., :3], delta=g + 1, backend='triton')\n"
        "except RuntimeError as problem: print(problem)\n"
    )
    told = "a state with K = 300, V = 300 takes 1048576 bytes of registers; one with K = 256, V = 256 would fit"
    assert told in interpreted("-c", script)


def test_explain_names_the_kernels_that_substitute_row_after_row() -> None:
    text = compilation("huber_delta").explain(kernels=True)
    assert "main: walks the tiles, 2 products, surprises row after row" in text
    assert "seq: walks them in reverse, 2 products, surprises row after row" in text


def test_explain_says_why_a_rule_is_walked_and_what_its_walk_carries() -> None:
    text = compilation("chi_square_memory").explain(kernels=True)
    assert "Triton kernels, token by token, because W = W[t−1] · max(0, R + 1 − ζ) is not affine in the state (retention, " in text
    assert "with retention: {kind: none} tiles would take 53,248 and 576, all tokens of a tile at once" in text
    assert "carries W\n      registers 16 KiB" in text
    assert "keeps, for each token of a segment, W_before\n      16 KiB a token; registers 32 KiB" in text


@pytest.mark.parametrize(
    ("name", "files"), [("yaad", {"decode.py", "kernels.py"}), ("titans_exact", {"kernels.py"}), ("lact", {"decode.py", "kernels.py"})]
)
def test_a_walk_is_for_a_few_tokens_where_there_are_kernels_over_tiles_and_for_all_where_there_are_none(name: str, files: set[str]) -> None:
    made = compilation(name)
    assert {file.path for file in made.files} & {"decode.py", "kernels.py"} == files
    manifest = json.loads(next(file.text for file in made.files if file.path == "manifest.json"))
    assert manifest["kernels"]["triton"]
    assert manifest["kernels"]["schedule"] == ("chunk" if "decode.py" in files else "walk")
