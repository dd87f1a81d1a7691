"""Verification accepts the package that computes the literal model itself, for every shipped spec and for rules beyond them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import pytest
import torch

from kit.literal_package import fields_of, literal_package
from kit.literal_rules import RULES
from kit.verify_mutants import SLOW
from miras_compiler.verify.checks import CHECKS
from miras_compiler.verify.checks.gradients import along_directions
from miras_compiler.verify.checks.layer import is_missing
from miras_compiler.verify.inputs import Inputs, Result
from miras_compiler.verify.measure import NOTHING, Tally
from miras_compiler.verify.report import Finding
from miras_compiler.verify.subject import Subject
from miras_compiler.verify.verification import check_subject

pytestmark = pytest.mark.slow

UNGUARDED = {"small_inputs"}  # the literal model divides by powers of norms as they are: it is made for float64


def refusals(fields: Mapping[str, Any], without: Container[str] = ()) -> list[Finding]:
    """The rows that fail, of all but those `without`: names of checks or of their groups."""
    subject = Subject(fields, literal_package(fields), quick=True)
    checks = [check for check in CHECKS if check.check not in without and check.run.__name__ not in without]
    rows = check_subject(subject, checks=checks)
    assert len(rows) >= 10
    return [row for row in rows if not row.passed]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear_attention", "moneta", "titans_lmm"])
def test_the_literal_package_of_a_shipped_spec_is_accepted_in_every_row(name: str) -> None:
    assert refusals(fields_of(name), without=UNGUARDED) == []


@pytest.mark.parametrize("name", ["gated_delta_net", "memora", "yaad"])
def test_the_literal_package_of_a_shipped_spec_is_accepted(name: str) -> None:
    assert refusals(fields_of(name), without=SLOW) == []


CHUNKED = {"size": 4, "gradient": "chunk_start"}
L2 = {"kind": "l2", "order": "after_gradient"}
OTHERS: dict[str, dict[str, Mapping[str, Any]]] = {
    "huber with a gate": {"attentional_bias": {"kind": "huber", "delta": "delta"}, "gates": {"alpha": {}, "eta": {}, "delta": {}}},
    "lp with p = 2": {"attentional_bias": {"kind": "lp", "p": 2.0, "smooth": False}},
    "robust shift by nothing": {"attentional_bias": {"kind": "robust_shift", "shift": 0.0}},
    "a formula": {"attentional_bias": {"kind": "formula", "loss": "rho*norm(u - v)"}, "gates": {"alpha": {}, "eta": {}, "rho": {}}},
    "lq with q = 2": {"retention": {"kind": "lq", "q": 2.0, "order": "after_gradient"}, "chunk": CHUNKED},
    "a chunk of one": {"retention": L2, "chunk": CHUNKED | {"size": 1}},
    "reads at the chunk's start": {"retention": L2, "chunk": CHUNKED | {"read": "chunk_start"}},
    "reads before writing": {"retention": L2, "chunk": CHUNKED | {"read": "before_write"}},
    "swiglu": {"memory": {"kind": "swiglu", "expansion": 2, "norm": "rms", "residual": False}, "retention": L2, "chunk": CHUNKED},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_the_literal_package_of_another_rule_is_accepted(name: str) -> None:
    fields = fields_of("gated_delta_net", **OTHERS[name])
    assert refusals(fields, without={"gradients", "sequences", "machine", *UNGUARDED}) == []


SPACE = (
    "alpha and eta per value channel", "huber per value channel", "two decays", "three keys", "steps", "implicit", "nesterov",
    "preconditioned", "muon at the chunk's end", "lact", "vector", "polynomial", "bregman", "elastic_net", "f_divergence that clips",
    "window", "sigmoid on a linear path per key channel",
)  # fmt: skip
OTHER_ROWS = {"boundaries", "absent_state", "manifest", "packing", "large_inputs"}


@pytest.mark.parametrize("name", SPACE)
def test_the_literal_package_of_another_point_of_the_space_is_accepted(name: str) -> None:
    """Identities, contract, packing and large inputs; that it equals itself needs no test."""
    fields = RULES[name]
    checks = [check for check in CHECKS if check.check == "identities" or check.run.__name__ in OTHER_ROWS]
    rows = check_subject(Subject(fields, literal_package(fields), quick=True), checks=checks)
    assert [row for row in rows if not row.passed] == []


def test_the_literal_package_of_a_window_over_chunks_is_accepted() -> None:
    """A memory with its own hidden width and LayerNorm, a gate in the loss, a window longer than the chunk."""
    assert refusals(RULES["window of a chunk"], without={*SLOW, "gradients", "machine"}) == []


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("nesterov", {"ungated", "without_momentum", "gated_delta_rule", "any_tile", "nothing_learned"}),
        ("steps", {"ungated", "single_step", "any_tile", "nothing_learned"}),
        ("three keys", {"ungated", "one_key", "any_tile", "nothing_learned"}),
        ("window of a chunk", {"ungated", "window_of_one", "wide_huber", "nothing_learned"}),
        ("window of one", {"ungated", "window_of_one", "any_tile", "nothing_learned"}),
        ("lact", set()),
    ],
)
def test_an_identity_is_tried_where_it_holds(name: str, rows: set[str]) -> None:
    subject = Subject(RULES[name], literal_package(RULES[name]), quick=True)
    assert {check.run.__name__ for check in CHECKS if check.check == "identities" and check.applies(subject)} == rows


def test_a_chunk_of_thousands_is_tried_near_its_end_only() -> None:
    fields = RULES["lact"] | {"chunk": RULES["lact"]["chunk"] | {"size": 2048}}
    subject = Subject(fields, literal_package(fields), quick=True)
    assert subject.long < 64
    checks = [check for check in CHECKS if check.run.__name__ in ("boundaries", "splitting")]
    assert all(row.passed for row in check_subject(subject, checks=checks))


@pytest.mark.parametrize(("slope", "agrees"), [(1.0, True), (1.001, False)])
def test_differences_agree_with_a_gradient_beside_a_kink(slope: float, agrees: bool) -> None:
    """A kink 2e-8 behind every query: where a long step crosses it, a shorter one decides."""
    fields = fields_of("gated_delta_net")
    inputs = Subject(fields, literal_package(fields)).inputs(3)

    def run(given: Inputs) -> Result:
        slopes = given.q.detach() + slope * (given.q - given.q.detach())  # the same values, and this slope
        return (slopes - inputs.q + 2e-8).abs(), {}

    tally = Tally()
    along_directions(tally, "kink", run, inputs)
    assert (tally.error == 0) is agrees


def test_a_gradient_is_missing_where_it_is_nothing_and_should_be_more_than_rounding() -> None:
    """One that a clipped slope cancels in one model may be 1e-19 in the other; one of 1e-9 beside gradients of 1 is missed all the same."""
    none, rounding, small = torch.zeros(3), torch.full((3,), 1e-19), torch.full((3,), 1e-9)
    pairs = [(none, small), (small, none), (none, rounding), (rounding, small), (none, none)]
    assert [is_missing(*pair, NOTHING) for pair in pairs] == [True, True, False, False, False]


def test_verification_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    fields = fields_of("linear_attention")
    check_subject(Subject(fields, literal_package(fields), quick=True), checks=CHECKS[:7])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_step_size_is_one_at_which_the_literal_model_is_calm() -> None:
    subject = Subject(fields_of("moneta"), literal_package(fields_of("moneta")), quick=True)
    assert 0.5**9 <= subject.step < 0.5
    assert subject.amplification <= 2


@pytest.mark.slow
def test_the_step_size_is_one_at_which_no_probe_explodes() -> None:
    """ψ(A) = exp(2A − 1): at 0.5 calm on one batch, and NaN on two of the probes."""
    fields = fields_of("gated_delta_net", retention={"kind": "bregman", "generator": "w*log(w)/2", "order": "after_gradient"})
    subject = Subject(fields, literal_package(fields), quick=True)
    assert not all(bool(subject.literal_run(inputs)[0].isfinite().all()) for inputs in subject._probes(0.5).values())
    assert subject.step < 0.5
    assert subject.amplification <= 2
    assert all(bool(output.isfinite().all()) for (output, _), _ in subject.expected.values())


def test_thresholds_cut_through_the_residuals() -> None:
    """Both branches of Yaad's switch are tried."""
    fields = fields_of("yaad")
    subject = Subject(fields, literal_package(fields))
    inputs = subject.probes[f"T {subject.long}"]
    _, _, trace = subject.literal(inputs.q, inputs.k, inputs.v, inputs.gates, inputs.parameters, inputs.state)
    share = float((trace.error <= inputs.gates["delta"]).double().mean())
    assert 0.1 < share < 0.9
