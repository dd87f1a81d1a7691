"""The printed kernels in Triton's interpreter, on the CPU, against the emitted PyTorch form in float64."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from kit.compiled import compilation
from kit.interpreter import interpreted
from miras_compiler import compile_spec, load_spec
from miras_compiler.bench.checks import REFUSED
from miras_compiler.spec import parse_spec

pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")]
CHECKS = {
    "free-running", "teacher-forced", "same bits twice", "split in four = whole", "token by token", "prefix causality",
    "torch.compile(fullgraph=True): graphs over 5 lengths",
}  # fmt: skip
SIZES = {  # length of a chunk, widths of keys and of the hidden layer; 96 is two blocks of it
    "linear_attention": (64, 16, 0), "gated_delta_net": (64, 24, 0), "yaad": (32, 16, 24), "titans_lmm": (32, 16, 96),
}  # fmt: skip
OTHERS = ("linear_attention", "yaad", "titans_lmm")
ON_GRID = {"size": 16, "gradient": "chunk_start", "read": "chunk_start"}
SHORT, PAIRS = {**ON_GRID, "size": 5}, {**ON_GRID, "size": 2}


@pytest.mark.parametrize("name", ["gated_delta_net", *(pytest.param(name, marks=pytest.mark.thorough) for name in OTHERS)])
def test_kernels_agree_with_the_float64_form(name: str, tmp_path: Path) -> None:
    """Outputs, final states and all gradients; correlated keys with eta 1 and no decay; packed, split and odd lengths; torch.compile.

    The backward pass goes through the tiles in parts of a few.
    """
    chunk, width, hidden = SIZES[name]
    package = compile_spec(load_spec(f"specs/{name}.yaml", {"chunk.size": chunk})).write(tmp_path)
    launch = (package / "runtime_launch.py").read_text(encoding="utf-8")
    for line, small in (("at_once: int = 1 << 30", "at_once: int = 1"), ("enough: int = 2048", "enough: int = 4")):
        assert line in launch
        launch = launch.replace(line, small)
    (package / "runtime_launch.py").write_text(launch, encoding="utf-8")
    claims = claims_of(package, (width, width, hidden), 3 * chunk)
    assert {row["check"].split(",")[0] for row in claims} == CHECKS
    assert [row for row in claims if not row["error"] <= row["limit"]] == []


GRAPHS = """
import sys, torch
from pathlib import Path
from miras_compiler.bench.checks import Case
from miras_compiler.bench.subject import MeasuredPackage, Shape
print(Case(MeasuredPackage(Path(sys.argv[1]), "cpu"), torch.float32, Shape(1, 1, 1, 4, 4, 4), 0).graphs().error)
"""


@pytest.mark.parametrize("name", ["lact", "sparse_memory", "omega_net", "tnt_local"])
def test_a_graph_around_kernels_serves_many_lengths(name: str, tmp_path: Path) -> None:
    """Kernels that wait for the end of a chunk, chunks that walk, windows, resets."""
    assert float(interpreted("-c", GRAPHS, str(compilation(name).write(tmp_path)))) <= 3


def claims_of(package: Path, widths: tuple[int, int, int], forced: int, rows: int | None = None) -> list[dict[str, Any]]:
    """The first `rows` claims about kernels, or all. In a process of its own: whether Triton interprets is decided when it is imported."""
    given = {"package": str(package), "dtype": "float32", "shape": (1, 1, 1, *widths), "forced": forced, "device": "cpu", "rows": rows}
    code = "import sys; from miras_compiler.bench.child import main; main(*sys.argv[1:])"
    return [json.loads(row) for row in interpreted("-c", code, "check", json.dumps(given)).splitlines()]


def broken(sections: dict[str, Any], widths: tuple[int, int, int], folder: Path, rows: int | None = None) -> list[dict[str, Any]]:
    """The first `rows` claims, or of all, that the kernels of a spec break."""
    fields = {"name": "found", "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "l2"}, "retention": {"kind": "l2"}, **sections}
    gates = {"eta": {"per": "head", "init": 0.1}, "alpha": {"per": "head"}} | sections.get("gates", {})
    package = compile_spec(parse_spec(json.dumps({**fields, "gates": gates}), "found.yaml")).write(folder)
    forced = 4 * int(json.loads((package / "manifest.json").read_text(encoding="utf-8"))["chunk"]["size"])
    return [row for row in claims_of(package, widths, forced, rows) if not row["error"] <= row["limit"]]


@pytest.mark.parametrize(
    ("generator", "inverse"),
    [
        ("cosh(w)", "closed"),
        ("w*log(w) + log(cosh(w))", "newton"),
        pytest.param("w**2 + w*log(w) + (1 - w)*log(1 - w)", "newton", marks=pytest.mark.thorough),
    ],
)
def test_kernels_invert_the_derivative_of_a_regularizer(generator: str, inverse: str, tmp_path: Path) -> None:
    """By asinh, and by bisection on the positive numbers and on (0, 1)."""
    retention = {"kind": "bregman", "generator": generator, "inverse": inverse}
    assert broken({"retention": retention, "chunk": ON_GRID}, (16, 16, 0), tmp_path, 3) == []


def test_kernels_have_every_function_of_a_formula(tmp_path: Path) -> None:
    """asinh, atan and erf, whose slopes 1/√(1 + x²), 1/(1 + x²) and 2 exp(−x²)/√π are found, too; high powers of negative numbers."""
    loss = "sum(asinh(u - v)**2 + (u - v)*atan(u - v) + (u - v)*erf(2*(u - v)) + ((u - v)/3)**6)"
    assert broken({"attentional_bias": {"kind": "formula", "loss": loss}, "chunk": ON_GRID}, (16, 16, 0), tmp_path, 3) == []


FOUND = {
    "a state without a key axis, whole, in a chunk in progress, and token by token; chunks of two tokens": (
        {"memory": {"kind": "vector", "norm": "layer"}, "attentional_bias": {"kind": "robust_shift", "shift": 0.5}, "chunk": PAIRS},
        (16, 16, 0), None,
    ),
    "the norm of a state that strong decay leaves small, to the power of −3/2": (
        {"memory": {"kind": "mlp"}, "retention": {"kind": "lq", "q": 4 / 3}, "chunk": SHORT}, (4, 4, 8), 3,
    ),
    "the hyperbolic tangent of what such a state predicts": (
        {"memory": {"kind": "mlp", "layers": 2, "activation": "tanh"}, "chunk": SHORT}, (6, 6, 8), 3,
    ),
    "exponentials over their sum, in rows behind a tile of 63 tokens, whose windows have 3": (
        {"attentional_bias": {"kind": "kl", "window": 3}, "gates": {"gamma": {"init": 0.9}}}, (4, 5, 0), 1,
    ),
}  # fmt: skip


LONG = (*tuple(FOUND)[:2], tuple(FOUND)[-1])


@pytest.mark.parametrize(
    ("sections", "widths", "rows"),
    [pytest.param(*case, marks=[pytest.mark.thorough] if name in LONG else [], id=name) for name, case in FOUND.items()],
)
def test_what_a_random_spec_has_found_of_kernels_stays_found(
    sections: dict[str, Any], widths: tuple[int, int, int], rows: int | None, tmp_path: Path
) -> None:
    assert broken(sections, widths, tmp_path, rows) == []


CORRELATED = {
    "d log_alpha, where the inverse and its right side are rounded to bfloat16": ("gated_delta_net", "48", "14"),
    "d v, where the last step of the inverse is quadratic, and operands of tf32 are cut off": ("titans_linear", "16", "0"),
}


@pytest.mark.parametrize(("name", "width", "seed"), [pytest.param(*case, id=wrong) for wrong, case in CORRELATED.items()])
def test_correlated_keys_are_solved_in_bfloat16_as_well_as_products_allow(name: str, width: str, seed: str, tmp_path: Path) -> None:
    """Inputs on which an error is above its limit where kernels round as the test does."""
    package = compilation(name).write(tmp_path)
    told = json.loads(interpreted("tests/kit/bf16_interpreter.py", str(package), width, seed))
    assert {name: pair for name, pair in told.items() if pair[0] > pair[1]} == {}


def test_widths_that_kernels_cannot_hold_are_refused_and_not_missed(tmp_path: Path) -> None:
    package = compilation("omega_net").write(tmp_path)
    (row,) = claims_of(package, (64, 64, 64), 64)
    assert (row["check"], row["error"], row["limit"]) == (REFUSED, 0, 0)
    told = "K = 2145 (features), L = 3, N = 64 takes 2097152 bytes of shared memory; one with K = 256, L = 3, N = 64 would fit"
    assert told in row["entry"]


def test_triton_is_refused_for_tensors_that_it_cannot_run_on(tmp_path: Path) -> None:
    import torch

    ops = compilation("linear_attention").load()
    x = torch.zeros(1, 3, 2, 16)
    with pytest.raises(ValueError, match="backend: 'triton' runs on a GPU, or anywhere under TRITON_INTERPRET=1; got tensors on cpu"):
        ops.chunk_linear_attention(x, x, x, eta=torch.ones(1, 3, 2), backend="triton")
