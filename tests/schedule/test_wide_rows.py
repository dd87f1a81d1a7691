"""Tiles of rules whose keys are widened by features, whose surprises measure windows before the tile, or that wait for a chunk's end."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from kit.compiled import compilation
from kit.interpreter import interpreted
from miras_compiler import compile_spec, load_spec
from miras_compiler.emit.triton.blocks import blocked_axis, split_axis

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
FEATURES: dict[str, object] = {"feature_map.kind": "polynomial", "feature_map.degree": 2}
WINDOW: dict[str, object] = {"chunk.size": 4, "gates.gamma.per": "head"}
RUN: dict[str, tuple[str, dict[str, object], str, list[str]]] = {  # spec, changes, width of a head, lengths
    "features of keys, in blocks": ("taylor_linear_attention", {}, "12", ["70", "1+20"]),
    "features that erase": ("gated_delta_net", FEATURES, "12", ["1+20"]),
    "features of a deep memory": ("yaad", {**FEATURES, "chunk.size": 4}, "5", ["1+5"]),
    "features of every row of a window": ("omega_delta", FEATURES, "5", ["3,1,6"]),
    "features, chunks that walk at once": ("memora", {**FEATURES, "chunk.size": 4}, "4", ["3,1,6"]),
    "windows with features": ("omega_net", {"chunk.size": 8}, "5", ["1+9", "3,1,10"]),
    "windows that are longer than a chunk, with momentum": ("titans_lmm", {**WINDOW, "attentional_bias.window": 6}, "4", ["1+5"]),
    "sums until the end of a chunk": ("lact", {"chunk.size": 66, "gates.alpha.init": 0.9}, "4", ["70"]),
    "thresholds of the rows of windows": ("yaad", {**WINDOW, "attentional_bias.window": 3}, "4", ["1+5"]),
}


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("what", RUN)
def test_kernels_over_tiles_agree_with_the_form_in_float64(what: str, tmp_path: Path) -> None:
    """Outputs, final states and every gradient: packed, cut inside chunks and windows."""
    name, changes, width, lengths = RUN[what]
    made = compile_spec(load_spec(f"specs/{name}.yaml", changes))
    assert (made.schedule is None) == (name == "memora")
    package = str(made.write(tmp_path))
    for each in lengths:
        told = json.loads(interpreted("tests/kit/interpret_packages.py", width, each, package))[name]
        assert told
        assert {entry: pair for entry, pair in told.items() if not pair[0] <= pair[1]} == {}


def test_features_and_windows_are_no_reason_to_walk() -> None:
    assert compilation("taylor_linear_attention").explain().splitlines()[-1] == "Triton kernels, over tiles of 64 tokens"


TOO_MANY = (
    "main: a tile with K = 561 (features), L = 3, N = 128 takes 262144 bytes of shared memory; one with K = 512, L = 3, N = 128 would fit"
)


def test_explain_says_that_a_deep_memory_cannot_hold_so_many_features() -> None:
    refused = "they are refused at these widths, and PyTorch runs"
    assert compilation("omega_net").explain().splitlines()[-1] == f"Triton kernels, over tiles of 64 tokens; {refused}: {TOO_MANY}"


@needs_triton
def test_features_that_do_not_fit_are_refused_with_their_bytes_and_the_number_that_does(tmp_path: Path) -> None:
    package = compilation("omega_net").write(tmp_path)
    script = (
        f"import sys, torch; sys.path.insert(0, {str(package.parent)!r})\n"
        "from omega_net import chunk_omega_net, runtime_dispatch\n"
        "runtime_dispatch.MISREAD = ()\n"
        "x, g = torch.zeros(1, 1, 1, 32), torch.zeros(1, 1, 1)\n"
        "state = {'W1': torch.zeros(1, 1, 561, 128), 'W2': torch.zeros(1, 1, 128, 32)}\n"
        "gates = dict(log_alpha=g, eta=g, gamma=x[..., :4], feature_coefficients=torch.ones(3))\n"
        "try: chunk_omega_net(x.bfloat16(), x.bfloat16(), x.bfloat16(), **gates, initial_state=state, backend='triton')\n"
        "except RuntimeError as problem: print(problem)\n"
    )
    assert TOO_MANY in interpreted("-c", script)


def test_every_kernel_of_a_linear_memory_holds_a_part_of_the_features() -> None:
    """So that it runs at any number of them: at a head of 64 channels there are 2,145."""
    schedule = compilation("taylor_linear_attention").schedule
    assert schedule is not None
    assert all("k" in (split_axis(kernel), blocked_axis(kernel)) for kernel in schedule.kernels)
