"""The manifest's cost is counted: products by PyTorch's own counter on the emitted form, bytes of the state on the one that it returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kit.paths import SPEC_FILES, SPECS
from miras_compiler.analysis import build_dependency_graph, classify_parallel_form, estimate_cost
from miras_compiler.analysis.tile import default_tile, has_own_rows
from miras_compiler.derive import derive_update_rule
from miras_compiler.emit import emit
from miras_compiler.ir.differentiate import differentiate
from miras_compiler.lower import build_program
from miras_compiler.passes import run_passes
from miras_compiler.schedule import build_walk, prepare_program
from miras_compiler.spec import Spec, load_spec
from miras_compiler.store import write_package
from miras_compiler.suggestion import with_suggestion
from miras_compiler.verify.inputs import InputShape, draw_inputs
from miras_compiler.verify.package import Package, opened_here

pytestmark = pytest.mark.slow

SIZES: dict[str, object] = {"layer.heads": 1, "layer.head_dim": 8, "layer.value_dim": 8, "chunk.size": 16}
WIDE: dict[str, object] = {"layer.value_dim": 12}  # where keys and values may differ in width, they do: no axis stands for another


def write(spec: Spec, folder: Path) -> tuple[Path, int]:
    """The package of a spec without kernels over tiles, which cost time to build and count for nothing here; and the tokens of a tile."""
    rule = derive_update_rule(spec)
    graph = build_dependency_graph(rule)
    form = with_suggestion(spec, graph, classify_parallel_form(rule, graph))
    program = run_passes(build_program(rule, form))
    cost = estimate_cost(rule, form.kind, program, run_passes(differentiate(program)), rule.step.chunk_end)
    tile = 2 if form.kind == "token_by_token" else default_tile(rule, form.kind, has_own_rows(program)) // rule.update.writes
    whole = max(tile, spec.chunk.size) if spec.has_grid else tile
    prepared = prepare_program(rule, program)
    return write_package(folder, spec.name, emit(rule, graph, form, prepared, None, None, build_walk(rule), cost)), whole


def counted(call: Callable[[], Any]) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter:
        result = call()
    return counter.get_total_flops(), result


def small(path: Path) -> Spec:
    one_decay: dict[str, object] = {"gates.alpha.init": 0.9} if path.stem in ("lightning", "retnet") else {}  # theirs is a list per head
    spec = load_spec(path, SIZES | one_decay)
    same_width = spec.memory.residual or spec.memory.kind == "vector"
    return spec if same_width else load_spec(path, SIZES | one_decay | WIDE)


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_the_cost_of_a_token_is_what_the_emitted_form_computes_and_returns(path: Path, tmp_path: Path) -> None:
    compare(small(path), tmp_path)


VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("yaad", {"memory.expansion": 2, "chunk.read": "chunk_start", "chunk.size": 8}),
    ("titans_lmm", {"chunk.size": 1}),
    ("titans_lmm", {"optimizer.kind": "muon"}),
    ("gated_delta_net", {"optimizer.kind": "momentum", "gates.mu.init": 0.5}),
    ("gated_delta_net", {"attentional_bias": {"kind": "huber", "delta": 1.0}}),
    ("delta_net", {"attentional_bias.window": 4, "gates.gamma.init": 0.5}),
    ("ttt_mlp", {"memory.layers": 3}),
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_the_cost_of_a_changed_spec_follows_what_it_computes(name: str, changes: dict[str, object], tmp_path: Path) -> None:
    compare(load_spec(SPECS / f"{name}.yaml", SIZES | changes), tmp_path)


def compare(spec: Spec, place: Path) -> None:
    """The manifest's cost against the counter's."""
    folder, tokens = write(spec, place)
    shape = InputShape(batch=1, tokens=tokens, heads=1, key=spec.key_dim, value=spec.value_dim)
    given = draw_inputs(spec.model_dump(mode="json", by_alias=True), shape, seed=0, eta=0.3, position=0).tracked()
    costs = {line["what"]: line["value"] for line in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["cost"]}

    def forward(package: Package) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        arguments: dict[str, Any] = {**given.gates, **given.parameters, "initial_state": dict(given.state), "output_final_state": True}
        o, state = package.torch_chunk(given.q, given.k, given.v, **arguments)
        assert state is not None
        return o, state

    with opened_here(folder, spec.name) as package:
        products, (o, state) = counted(lambda: forward(package))
        leaving = o.sum() + sum(tile.sum() for tile in state.values() if tile.is_floating_point())
        backward, _ = counted(leaving.backward)
    assert costs["matrix products, forward"] == pytest.approx(products / tokens, rel=0.02, abs=1)
    assert costs["matrix products, forward and backward"] == pytest.approx((products + backward) / tokens, rel=0.02, abs=1)
    in_float32 = sum(tile.numel() * (4 if tile.is_floating_point() else tile.element_size()) for tile in state.values())
    assert costs["state"] == in_float32
