"""Tiles of rules whose keys are widened by features, or whose surprises measure windows that reach back before the tile."""

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


@pytest.mark.parametrize("name", ["taylor_linear_attention", "omega_net"])
def test_features_and_windows_are_no_reason_to_walk(name: str) -> None:
    assert compilation(name).explain().splitlines()[-1] == "Triton kernels, over tiles of 64 tokens"


def test_every_kernel_of_a_linear_memory_holds_a_part_of_the_features() -> None:
    """So that it runs at any number of them: at a head of 64 channels there are 2,145."""
    schedule = compilation("taylor_linear_attention").schedule
    assert schedule is not None
    assert all("k" in (split_axis(kernel), blocked_axis(kernel)) for kernel in schedule.kernels)
