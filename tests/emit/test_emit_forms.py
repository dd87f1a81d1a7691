"""chunked.py and recurrent.py agree where tiles share entries, windows have rows of their own, or values stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kit.compiled import without_tiles
from kit.paths import SPECS
from miras_compiler import load_spec
from miras_compiler.verify.inputs import InputShape, draw_inputs
from miras_compiler.verify.package import opened_here

pytestmark = pytest.mark.slow

SHAPE = InputShape(batch=2, tokens=11, heads=2, key=4, value=4)
SUM = {"kind": "formula", "loss": "sum(u - v)**2"}  # the same ∂ℓ/∂u in every channel
ON_GRID = {"chunk.gradient": "chunk_start", "chunk.size": 4}
MUON = {"optimizer": {"kind": "muon"}, "gates.mu": {}}
WAITING = {"optimizer": {"kind": "muon", "apply": "chunk_end"}, "gates.mu": {}, "chunk.read": "chunk_start"}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "one number for all channels": ("dla", {"attentional_bias": SUM}),
    "one number for all channels, rows of a window": ("omega_net", {"attentional_bias": {**SUM, "window": 3}, **ON_GRID}),
    "one number for all channels, row by row": ("omega_delta", {"attentional_bias": {**SUM, "window": 3}}),
    "a loss that the clip of its slope computes with": ("gated_delta_net", {"attentional_bias": {"kind": "l2", "scale": 2, "clip": 0.7}}),
    "a threshold per row and channel": ("omega_huber", {"gates.delta": {"per": "value_channel"}, "gates.eta": {"per": "value_channel"}}),
    "known surprises in a chunk": ("linear_attention", ON_GRID),
    "a state that waits for the end of its chunk": ("delta_net", {**WAITING, **ON_GRID, "retention": {"kind": "none"}}),
    "orthogonal steps on a linear path": ("sigmoid_memory", {**MUON, **ON_GRID, "chunk.retention": "chunk_end"}),
    "a map that is the identity": ("sigmoid_memory", {**ON_GRID, "retention": {"kind": "lq", "q": 2}}),
    "a linear path per channel": ("sigmoid_memory", {**ON_GRID, "chunk.retention": "chunk_end", "gates.alpha": {"per": "key_channel"}}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_tile_and_a_loop_over_tokens_are_one_function(case: str, tmp_path: Path) -> None:
    name, overrides = CASES[case]
    spec = load_spec(SPECS / f"{name}.yaml", overrides)
    given = draw_inputs(spec.model_dump(mode="json", by_alias=True), SHAPE, seed=0, eta=0.3, position=1).tracked()
    with opened_here(without_tiles(spec).write(tmp_path), name) as package:
        results = []
        for form, options in ((package.naive_recurrent, {}), (package.torch_chunk, {"tile": 1}), (package.torch_chunk, {"tile": 64})):
            o, state = form(
                given.q, given.k, given.v, **given.gates, **given.parameters,
                initial_state=dict(given.state), output_final_state=True, **options,
            )  # fmt: skip
            slopes = torch.autograd.grad(o.square().sum(), [given.q, given.k, given.v], allow_unused=True)
            results.append({"o": o, **state, **{f"d{i}": x for i, x in enumerate(slopes) if x is not None}})
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-9, atol=1e-9)
