"""docs/mathematics.md §10 on generated packages: limits at which no spec of the zoo is; the others are rows of every verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kit.compiled import without_tiles
from kit.literal_package import literal_package
from kit.paths import SPECS
from miras_compiler import load_spec
from miras_compiler.verify.checks.identities import IDENTITIES
from miras_compiler.verify.inputs import InputShape, draw_inputs
from miras_compiler.verify.package import opened_here
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

EXACT_LP: dict[str, object] = {"attentional_bias.p": 2, "attentional_bias.smooth": False}
CASES: list[tuple[str, str, dict[str, object]]] = [  # the identity, and a spec with the settings at which it holds
    ("square_lp", "l3_delta", EXACT_LP),
    ("square_lp", "moneta", {"chunk.size": 4, "memory.expansion": 2} | EXACT_LP),
    ("square_lq", "moneta_mirror", {"retention.q": 2, "chunk.size": 4, "memory.expansion": 2}),
    ("no_shift", "robust_delta", {"attentional_bias.shift": 0}),
    ("chunk_of_one", "titans_lmm", {"chunk.size": 1, "memory.expansion": 2}),
    ("chunk_of_one", "sigmoid_memory", {"chunk.size": 1}),
    ("chunk_of_one", "omega_net", {"chunk.size": 1, "memory.expansion": 1}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("identity", "name", "settings"), CASES, ids=[f"{identity}-{name}" for identity, name, _ in CASES])
def test_a_model_becomes_the_simpler_one_at_its_limit(identity: str, name: str, settings: dict[str, object], tmp_path: Path) -> None:
    spec = load_spec(SPECS / f"{name}.yaml", settings)
    checks = [check for check in IDENTITIES if check.run.__name__ == identity]
    with opened_here(without_tiles(spec).write(tmp_path), name) as package:
        (row,) = check_subject(Subject(spec.model_dump(by_alias=True), package, quick=True), checks=checks)
    assert row.passed, row.note


@pytest.mark.slow
def test_every_identity_holds_on_a_spec_of_the_zoo_or_is_tried_here() -> None:
    tried = {identity for identity, _, _ in CASES}
    for path in SPECS.glob("*.yaml"):
        fields = load_spec(path).model_dump(by_alias=True)
        subject = Subject(fields, literal_package(fields), quick=True)
        tried |= {check.run.__name__ for check in IDENTITIES if check.applies(subject)}
    assert tried == {check.run.__name__ for check in IDENTITIES}


def run(name: str, settings: dict[str, object], folder: Path, arguments: dict[str, Any]) -> Any:
    with opened_here(without_tiles(load_spec(SPECS / f"{name}.yaml", settings)).write(folder), name) as package:
        return package.chunk(**arguments, output_final_state=True)


@pytest.mark.slow
def test_the_linear_titans_without_momentum_are_the_gated_delta_rule(tmp_path: Path) -> None:
    """Two packages, one through the coefficients of momentum, the other not: mu = 0, before_gradient, s = 1."""
    fields = load_spec(SPECS / "gated_delta_net.yaml").model_dump(by_alias=True)
    given = draw_inputs(fields, InputShape(2, 70, 2, 4, 5), seed=0, eta=0.8)
    arguments = {"q": given.q, "k": given.k, "v": given.v, **given.gates, "initial_state": dict(given.state)}
    expected, expected_state = run("gated_delta_net", {}, tmp_path, arguments)
    no_momentum = {"log_mu": torch.full_like(given.gates["eta"], -torch.inf)}
    settings: dict[str, object] = {"retention.order": "before_gradient", "attentional_bias.scale": 1}
    o, state = run("titans_linear", settings, tmp_path, arguments | no_momentum)
    torch.testing.assert_close(o, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(state["W"], expected_state["W"], rtol=0, atol=1e-10)
