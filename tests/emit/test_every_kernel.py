"""The kernels of every package of generated/, forward and backward, in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from kit.compiled import compilation
from kit.interpreter import interpreted
from kit.paths import GENERATED, SPEC_FILES
from kit.spec_texts import edited, parsed
from miras_compiler import compile_spec, load_spec

PACKAGES = sorted(path.parent for path in GENERATED.glob("*/kernels.py"))
OWN = edited(
    ("{kind: l2}\nretention", '{kind: formula, loss: "sum((1 + own**2 + d_own) * (u - v)**2)"}\nretention'), more="  own: {}\n  d_own: {}\n"
)
NAMED_W = """
import importlib, json, sys
import torch
sys.path.insert(0, sys.argv[1])
torch.manual_seed(0)
errors = []
for name in sys.argv[2:]:
    chunk = getattr(importlib.import_module(name), f"chunk_{name}")
    rows = [torch.nn.functional.normalize(torch.randn(1, 6, 1, 4), dim=-1) for _ in range(3)]
    given = {"log_alpha": -torch.rand(1, 6, 1), "eta": 0.3 * torch.rand(1, 6, 1), "W": torch.rand(1, 6, 1)}
    given |= {"gamma": torch.rand(1, 6, 1, 2)} if name == "rows" else {}
    found = [chunk(*rows, **given, output_final_state=True, backend=backend) for backend in ("torch", "triton")]
    (o, state), (o_kernels, state_kernels) = found
    errors += [(o - o_kernels).abs().max().item(), (state["W"] - state_kernels["W"]).abs().max().item()]
print(json.dumps(errors))
"""
AT_ONCE = ("memora", "sparse_memory")
SHARES = 3  # processes: each imports PyTorch once


def test_every_spec_has_kernels() -> None:
    assert {package.name for package in PACKAGES} >= {spec.stem for spec in SPEC_FILES}
    assert all(json.loads((package / "manifest.json").read_text(encoding="utf-8"))["kernels"]["triton"] for package in PACKAGES)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("share", range(SHARES))
def test_kernels_compute_what_the_pytorch_form_does_in_float64(share: int, tmp_path: Path) -> None:
    """Outputs, final states and the gradients of all inputs and states, for a few packed tokens at small widths.

    A gate may be called like the gradient of another.
    """
    folders = [*PACKAGES[share::SHARES], *([compile_spec(parsed(OWN)).write(tmp_path)] if share == 0 else [])]
    assert_right("4", "1+2", folders)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_rows_that_follow_one_another_do_so_across_blocks_and_tiles(tmp_path: Path) -> None:
    """A substitution of whole rows, of single entries, and under weights per channel; blocks of 8 and 16 rows; a width that is padded."""
    assert_right("5", "70+3", [compilation(name).write(tmp_path) for name in ("kl_delta", "momentum_huber", "value_gated_huber")])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("lengths", ["9", "5,0,4,7"])
def test_chunks_that_walk_at_once_compute_what_the_pytorch_form_does(lengths: str, tmp_path: Path) -> None:
    """A sequence that ends within a chunk, and packed ones, of which one has no tokens and one is a whole chunk."""
    specs = [load_spec(f"specs/{name}.yaml").model_copy(update={"chunk": {"size": 4, "gradient": "chunk_start"}}) for name in AT_ONCE]
    assert_right("5", lengths, [compile_spec(spec).write(tmp_path) for spec in specs])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_a_gate_that_is_called_like_the_state_is_read_as_it_is(tmp_path: Path) -> None:
    """In rules that walk, whose chunks walk at once, and whose tokens are rows of a window."""
    retentions = {"walk": "{kind: elastic_net, threshold: 0.1}", "chunks": "{kind: sigmoid}", "rows": "{kind: l2}"}
    chunks = {"chunks": "chunk: {size: 4, gradient: chunk_start}\n"}
    for name, retention in retentions.items():
        window = ", window: 2" if name == "rows" else ""
        loss = f'{{kind: formula, loss: "sum((1 + W**2) * (u - v)**2)"{window}}}'
        edits = [("{kind: l2}\nretention: {kind: l2}", f"{loss}\nretention: {retention}"), ("name: x", f"name: {name}")]
        gates = "  W: {}\n" + ("  gamma: {}\n" if window else "")
        compile_spec(parsed(edited(*edits, more=gates + chunks.get(name, "")))).write(tmp_path)
    told = json.loads(interpreted("-c", NAMED_W, str(tmp_path), *retentions))
    assert all(error < 1e-4 for error in told), told


def assert_right(width: str, lengths: str, folders: list[Path]) -> None:
    """All entries of these packages are within their limits."""
    told = json.loads(interpreted("tests/kit/interpret_packages.py", width, lengths, *map(str, folders)))
    assert told.keys() == {folder.name for folder in folders}
    assert {(name, entry): pair for name, each in told.items() for entry, pair in each.items() if not pair[0] <= pair[1]} == {}
