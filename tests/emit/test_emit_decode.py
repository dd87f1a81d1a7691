"""The kernel for a few tokens: who has one, when it runs, and that padding, packed sequences and cuts inside of chunks are right."""

from __future__ import annotations

import importlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.compiled import compilation
from kit.interpreter import interpreted
from miras_compiler import compile_spec, load_spec

pytestmark = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")]
WIDTHS = {"gated_delta_net": (12, 0), "titans_lmm": (12, 20), "preconditioned_gdn": (12, 0)}
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from miras_compiler.bench.precision import rms
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape
from miras_compiler.models import open_package, part_of
package, width, hidden = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
measured = MeasuredPackage(package, "cpu")
opened = open_package(package)
run = getattr(part_of(opened, "decode"), f"triton_recurrent_{package.name}")
reference = getattr(part_of(opened, "ops"), f"naive_recurrent_{package.name}")
shape = Shape(1, 11, 2, width, width, hidden)
inputs = measured.inputs(shape, Regime(0.5 if hidden == 0 else 0.1), torch.float32)
state, borders = measured.state(3, shape), torch.tensor([0, 3, 4, 11], dtype=torch.int32)
single = [{name: x.float() for name, x in tensors.items()} for tensors in (inputs, state)]
found = run(**single[0], initial_state=single[1], output_final_state=True, cu_seqlens=borders)
expected = reference(**inputs, initial_state=state, output_final_state=True, cu_seqlens=borders)
assert found[1].keys() == expected[1].keys()
pairs = [(found[0], expected[0]), *((found[1][name], x) for name, x in expected[1].items())]
print(json.dumps([rms(x, y) if y.is_floating_point() else float(not torch.equal(x, y)) for x, y in pairs]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDTHS)
def test_packed_sequences_of_any_width_and_over_chunk_borders_agree_with_float64(name: str, tmp_path: Path) -> None:
    """Chunks of 4 tokens; widths that are padded, in a process of its own for Triton's interpreter."""
    package = compile_spec(load_spec(f"specs/{name}.yaml", {"chunk.size": 4} if name == "titans_lmm" else {})).write(tmp_path)
    assert max(json.loads(interpreted("-c", SCRIPT, str(package), *map(str, WIDTHS[name])))) < 2e-6


@pytest.fixture
def ops() -> ModuleType:
    package = compilation("gated_delta_net").load()
    return importlib.import_module(f"{package.__name__}.ops")


@pytest.mark.parametrize(
    ("tokens", "gradients", "runs"), [(1, False, "recurrent"), (16, False, "recurrent"), (17, False, "chunk"), (1, True, "chunk")]
)
def test_few_tokens_without_gradients_are_decoded_and_others_run_as_tiles(
    ops: ModuleType, tokens: int, gradients: bool, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def note(form: str) -> Any:
        def run(q: Tensor, k: Tensor, v: Tensor, **more: Any) -> tuple[Tensor, None]:
            called.append(form)
            return q, None

        return run

    kernels = replace(ops._OPERATORS.kernels, chunk=note("chunk"), recurrent=note("recurrent"))
    monkeypatch.setattr(ops._OPERATORS, "kernels", kernels)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    x: Tensor = torch.rand(1, tokens, 2, 4, requires_grad=gradients)
    gates = {"log_alpha": -torch.rand(1, tokens, 2), "eta": torch.rand(1, tokens, 2)}
    ops.fused_recurrent_gated_delta_net(x, x, x, **gates, backend="triton")
    assert called == [runs]
