"""Kernels in Triton's interpreter with unusual arguments, in the transforms of torch.func, and two packages of one name in one process."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest

from kit.compiled import compilation
from kit.interpreter import interpreted
from miras_compiler import compile_spec, load_spec
from miras_compiler.spec import parse_spec

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
OWN_GATE = "span"  # the name of a function that kernels call
CHUNKED = {
    "name": "chunked", "memory": {"kind": "matrix", "norm": "layer"},
    "attentional_bias": {"kind": "formula", "loss": f"sum({OWN_GATE}*(u - v)**2)"},
    "retention": {"kind": "l2"}, "optimizer": {"kind": "momentum"},
    "gates": {"eta": {"init": 0.1}, "alpha": {}, "mu": {}, OWN_GATE: {"init": 0.5}},
    "chunk": {"size": 4, "gradient": "chunk_start", "read": "after_write"},
}  # fmt: skip
LIMITS = {  # the largest error of float32
    "agreement": 5e-6, "views": 0.0, "expanded": 0.0, "rest_of_row": 0.0, "no_tokens": 2e-6, "no_tokens_at_all": 0.0, "float16": 2.0,
    "transforms": 0.0, "second_derivatives": 0.0,
}  # fmt: skip
PACKAGES = ("chunked", "gated_delta_net", "sigmoid_memory")


@pytest.fixture(scope="module")
def errors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Of every claim, by a program of its own: whether Triton interprets is decided when it is imported."""
    spec = parse_spec(json.dumps(CHUNKED), "chunked.yaml") if request.param == "chunked" else load_spec(f"specs/{request.param}.yaml")
    package = compile_spec(spec).write(tmp_path_factory.mktemp("arguments"))
    found: dict[str, float] = json.loads(interpreted("tests/kit/kernel_arguments.py", str(package)))
    return found


CLAIMS = {
    "agreement": "a gate whose name is one of a kernel's own is read as it is",
    "views": "views of tokens, gates, states, positions and borders are read as they are",
    "expanded": "expanded tensors are read as they are",
    "rest_of_row": "behind the last border outputs and gradients are 0",
    "no_tokens": "a sequence without tokens hands its state on",
    "no_tokens_at_all": "a batch without tokens hands its state on",
    "float16": "states outside the range of float16 are right",
    "transforms": "torch.func.grad, vmap of it and vmap over steps are loops",
    "second_derivatives": "second derivatives are refused with the remedy",
}


@pytest.mark.slow
@pytest.mark.parametrize("errors", PACKAGES, indirect=True, scope="module")
@pytest.mark.parametrize("claim", CLAIMS, ids=list(CLAIMS.values()))
def test_kernels_take_every_argument_that_the_contract_allows(errors: dict[str, float], claim: str) -> None:
    assert errors[claim] <= LIMITS[claim]


VARIANTS = """
import importlib, json, sys
import torch
from miras_compiler import compile_spec, load_spec
q = torch.rand(1, 5, 1, 4, generator=torch.Generator().manual_seed(0))
given = {"log_alpha": -q[..., 0], "eta": q[..., 1]}
def differences(ops):
    found = [getattr(ops, f"{form}_gated_delta_net")(q, q, q, **given, backend="triton")[0] for form in ("chunk", "fused_recurrent")]
    return [float((o - ops.naive_recurrent_gated_delta_net(q, q, q, **given)[0]).abs().max()) for o in found]
specs = [load_spec("specs/gated_delta_net.yaml", {"attentional_bias.scale": scale}) for scale in (1.0, 0.5)]
loaded = [compile_spec(specs[i]).load() for i in (0, 1, 0)]
assert not torch.equal(*(ops.chunk_gated_delta_net(q, q, q, **given, backend="triton")[0] for ops in loaded[:2]))
for parent, spec in zip(("one", "two"), specs):
    compile_spec(spec).write(f"{sys.argv[1]}/{parent}")
sys.path.insert(0, sys.argv[1])
loaded += [importlib.import_module(f"{parent}.gated_delta_net.ops") for parent in ("one", "two")]
print(json.dumps(max(max(differences(ops)) for ops in loaded)))
"""


@pytest.mark.slow
def test_two_packages_of_one_name_keep_their_own_kernels(tmp_path: Path) -> None:
    """Two variants of a spec, one of them twice, and both again as parts of other packages."""
    assert json.loads(interpreted("-c", VARIANTS, str(tmp_path))) < 1e-6


@cache
def files_of(name: str) -> dict[str, str]:
    return {file.path: file.text for file in compilation(name).files}


@pytest.mark.parametrize("name", ["gated_delta_net", "linear_attention"])
def test_a_package_holds_the_device_functions_that_it_calls_and_no_file_of_others(name: str) -> None:
    solves = "runtime_device_inverse.py" in files_of(name)
    assert solves == ("inverse(" in files_of(name)["kernels.py"]) == (name == "gated_delta_net")
