"""Verification tells a wrong result from one that rounding alone moves, and makes demands on numbers at the ends of a precision."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kit.literal_package import LiteralOperator, fields_of, package_of
from miras_compiler.verify.checks import Check
from miras_compiler.verify.checks.edge import zero_residual
from miras_compiler.verify.checks.guards import large_inputs
from miras_compiler.verify.checks.layer import small
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.literal.layer import LiteralLayer
from miras_compiler.verify.measure import MARGIN, Tally
from miras_compiler.verify.rounding import Largest, Rounded, coin, nudged, rounding_of
from miras_compiler.verify.subject import Subject, within_float32
from miras_compiler.verify.verification import check_subject


def inputs_of(x: torch.Tensor) -> Inputs:
    return Inputs(q=x, k=x, v=x, gates={}, parameters={}, state={})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_nudge_is_one_unit_in_the_last_place_and_leaves_zeros(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 1.5, -2.25, 1e-30, math.inf], dtype=dtype)
    moved = nudged(inputs_of(x), seed=0).v
    assert torch.equal(moved[[0, 4]], x[[0, 4]])
    assert bool((moved[1:4] != x[1:4]).all())
    assert float(((moved[1:4] - x[1:4]) / x[1:4]).abs().max()) <= torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_same_numbers_go_the_same_way_and_about_half_of_them_up(dtype: torch.dtype) -> None:
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    up = torch.from_numpy(coin(torch.cat([x, x.flip(0)]), seed=1))
    assert up.shape == (100, 40)
    assert torch.equal(up[:50], up[50:].flip(0))
    assert 0.4 < up.double().mean() < 0.6


def test_shapes_without_values_are_not_rounded() -> None:
    with Rounded(seed=0):
        x = torch.ones(3, device="meta")
        assert (x.exp() @ x[:, None] * x).is_meta


def test_rounding_is_told_as_what_it_costs_of_a_difference_of_large_numbers() -> None:
    """(1e8 + x) − 1e8 knows x to 1e-8: rounding of x is amplified by nothing, that of the sum by 1e8."""

    def pull(inputs: Inputs) -> tuple[tuple[torch.Tensor, dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
        return ((1e8 * inputs.v + 1.0) - 1e8 * inputs.k, {}), {}

    told = rounding_of(pull, inputs_of(torch.ones(4, dtype=torch.float64)))
    assert 1e-9 < told["o"] < 1e-7


def test_a_tie_that_a_rounded_state_breaks_counts_as_rounding() -> None:
    """A memory of zeros writes the same into every channel, so that all are the largest of the next token, but for their last bits."""
    fields = fields_of("gated_delta_net", attentional_bias={"kind": "formula", "loss": "max(u - v)"})
    subject = Subject(fields, package_of(LiteralOperator(fields)), quick=True)
    drawn = subject.inputs(4)
    told = subject.rounding(replace(drawn, v=torch.zeros_like(drawn.v), state={"W": torch.zeros_like(drawn.state["W"])}))()
    assert told["o"] > 1e-3
    assert subject.rounding(drawn)()["o"] < 1e-14
    with torch.no_grad():  # a check that compares outputs alone
        assert subject.rounding(drawn)()["o"] < 1e-14


def test_digits_that_a_function_loses_on_the_way_count_as_rounding() -> None:
    """1 − tanh(9)² is 6e-8, and known to nine digits: the last bit of 9 does not change tanh(9)."""

    def pull(inputs: Inputs) -> tuple[tuple[torch.Tensor, dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
        return (1 - inputs.v.tanh().square(), {}), {}

    assert 1e-10 < rounding_of(pull, inputs_of(torch.full((4,), 9.0, dtype=torch.float64)))["o"] < 1e-7
    assert rounding_of(pull, inputs_of(torch.full((4,), 30.0, dtype=torch.float64)))["o"] == 0  # tanh has come to its end


def test_an_error_within_rounding_is_accepted_and_said_and_one_beyond_it_is_not() -> None:
    for error, passes in ((10e-12, True), (1.1 * MARGIN * 1e-12, False)):
        tally = Tally(1e-12)
        tally.about(lambda: {"o": 1e-12})
        tally.weigh("o", error, "o")
        assert (tally.error <= tally.limit) == passes
        assert bool(tally.remarks) == passes


@pytest.mark.parametrize(
    ("bounded_at", "found", "passed"),
    [
        pytest.param(0.2, 1.0, True, id="the rule explodes at a half, and the package is right at an eighth"),
        pytest.param(0.2, 2.0, False, id="and wrong there"),
        pytest.param(0.0, 1.0, False, id="the rule has no numbers at any step size"),
        pytest.param(1.0, math.inf, False, id="the package alone has none"),
    ],
)
def test_inputs_on_which_the_rule_itself_explodes_are_tried_at_a_smaller_step(bounded_at: float, found: float, passed: bool) -> None:
    fields = fields_of("linear_attention")
    tried = []

    def run(subject: Subject, tally: Tally) -> None:
        tried.append(subject.step)
        expected = torch.tensor(1.0 if subject.step <= bounded_at else 1e39, dtype=torch.float64)
        tally.compare("o", found * expected if expected == 1 else expected * math.inf, expected)

    (row,) = check_subject(Subject(fields, package_of(LiteralOperator(fields))), checks=[Check("any", "claim", 1e-9, run)])
    assert row.passed == passed
    assert tried == [0.5, 0.125, 0.03125, 0.0078125, 0.001953125][: {0.2: 2, 0.0: 5, 1.0: 1}[bounded_at]]
    assert row.note == "the rule explodes on these inputs at eta 0.5" or not passed


def test_a_value_that_is_no_number_is_never_rounding() -> None:
    tally = Tally(1e-9)
    tally.about(lambda: {"o": math.inf})
    tally.weigh("o", math.inf, "o")
    assert tally.error == math.inf


def test_the_largest_number_on_the_way_counts_forward_and_backward() -> None:
    x = torch.tensor([1e3], dtype=torch.float64, requires_grad=True)
    with Largest() as numbers:
        (gradient,) = torch.autograd.grad((x**2).log().sum(), x)
    assert 1e6 <= numbers.size < 1e7
    assert float(gradient) == pytest.approx(2e-3)


def test_a_layer_whose_rule_explodes_behind_its_norm_is_tried_with_fewer_tokens() -> None:
    """A cube of the error at a step of 1.5, with Nesterov's momentum: five tokens leave a state beyond 10³⁸, and outputs of order 1."""
    drawn = torch.Generator().manual_seed(0)
    shapes = {f"{row}_proj.weight": (8, 6) for row in "qk"} | {"v_proj.weight": (10, 6), "o_proj.weight": (6, 10), "W": (2, 4, 5)}
    tensors = {name: torch.randn(shape, generator=drawn) for name, shape in shapes.items()} | {"o_norm_weight": torch.ones(5)}
    gates = {"eta": 1.5, "log_alpha": -0.001, "log_mu": -0.1}
    tensors |= {f"{name.removeprefix('log_')}_gate.value": torch.full((2,), value) for name, value in gates.items()}
    declared = {name: {"source": "constant", "init": 1.0} for name in ("eta", "alpha", "mu")}
    fields = fields_of("l3_delta", optimizer={"kind": "nesterov"}, gates=declared)
    fields["attentional_bias"] |= {"p": 4.0}
    fields["layer"] |= {"conv": 0, "output_gate": False, "output_norm": "rms"}
    made: Any = lambda *_, **__: SimpleNamespace(tensors=tensors, learned=())  # noqa: E731
    package = replace(package_of(LiteralOperator(fields)), make_layer=made)
    _, moved, x = small(Subject(fields, package, quick=True))
    literal, longer = LiteralLayer(fields, 2), torch.cat((x, x[:, :2]), 1)
    assert x.shape[1] == 3
    assert within_float32(literal.remembered(x, moved))
    assert not within_float32(literal.remembered(longer, moved))
    assert bool(literal(longer, moved).isfinite().all())


class LosesARow(LiteralOperator):
    """NaN where the values are large, though no number on the way is."""

    def run(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, named: Any, state: Any) -> Any:
        o, final, trace = super().run(q, k, v, named, state)
        return torch.where(v.abs().amax(-1, keepdim=True) > 1e3, torch.nan, o), final, trace


@pytest.mark.slow
def test_a_number_that_is_lost_although_all_on_the_way_fit_is_seen() -> None:
    fields = fields_of("gated_delta_net")
    for operator, passes in ((LiteralOperator(fields), True), (LosesARow(fields), False)):
        tally = Tally()
        large_inputs(Subject(fields, package_of(operator), quick=True), tally)
        assert (tally.error == 0) == passes


class RoundsElsewhere(LiteralOperator):
    """The literal model of values whose last bits differ."""

    def run(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, named: Any, state: Any) -> Any:
        moved = torch.nextafter(v.detach(), torch.full_like(v, math.inf))
        return super().run(q, k, v + (moved - v.detach()), named, state)  # v itself has the gradient: nextafter has none


@pytest.mark.slow
def test_a_probe_on_which_rounding_is_all_there_is_is_cut_and_said_so() -> None:
    """A vector memory of zeros under LayerNorm, a clip and momentum, measured at v = u: rounding of 0 is normed and clipped."""
    base = fields_of("titans_lmm")
    fields = {
        **fields_of("vector_delta"),
        "memory": {**base["memory"], "kind": "vector", "norm": "layer", "residual": False},
        "attentional_bias": {"kind": "kl", "clip": 1.0, "window": None},
        "optimizer": base["optimizer"],
        "gates": {name: base["gates"][name] for name in ("alpha", "eta", "mu")},
    }
    tally = Tally(1e-9)
    zero_residual(Subject(fields, package_of(RoundsElsewhere(fields)), quick=True), tally)
    assert tally.error <= tally.limit
    assert any("rounding alone moves" in remark for remark in tally.remarks)
