"""Gates of layers stay in the range that the spec declares, start at their init, and are the published ones where a paper prints them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.compiled import without_tiles
from kit.layer_package import (
    HIDDEN,
    distance,
    handed_to_the_operator,
    hidden,
    layer_of,
    load_package,
    small_layer,
    small_package,
    small_spec,
)
from kit.spec_texts import parsed
from miras_compiler.advice import convexity_of
from miras_compiler.derive.rule import describe_rule
from miras_compiler.emit.interface import build_interface
from miras_compiler.errors import SpecError
from miras_compiler.spec import Spec

SPEC = """\
name: x
memory: {kind: matrix}
attentional_bias: {kind: formula, loss: "sum((1 + rho**2)*(u - v)**2)"}
retention: {kind: l2}
gates:
  alpha: ALPHA
  eta: ETA
  rho: RHO
layer: {heads: 2, head_dim: 4}
"""


def gates_of(alpha: str = "{init: 0.9}", eta: str = "{init: 0.5}", rho: str = "{init: 0.5}") -> Spec:
    return parsed(SPEC.replace("ALPHA", alpha).replace("ETA", eta).replace("RHO", rho))


RANGES = {  # gate, fields, the range reached, the domain in the manifest
    "sigmoid": ("eta", "parametrization: sigmoid", (0, 1), "[0, 1]"),
    "twice": ("eta", "parametrization: 2*sigmoid", (0, 2), "[0, 2]"),
    "sigmoid in a range": ("eta", "parametrization: sigmoid, range: [0.25, 1.5]", (0.25, 1.5), "[0.25, 1.5]"),
    "range alone": ("eta", "range: [0, 2]", (0, 2), "[0, 2]"),
    "softplus": ("rho", "parametrization: softplus", (0, math.inf), ">= 0"),
    "softplus from a start": ("rho", "parametrization: softplus, range: [0.125, null]", (0.125, math.inf), ">= 0.125"),
    "positive": ("rho", "parametrization: positive", (0, math.inf), "> 0"),
    "tanh": ("rho", "parametrization: tanh", (-1, 1), "[-1, 1]"),
    "tanh in a range": ("rho", "parametrization: tanh, range: [-3, 1]", (-3, 1), "[-3, 1]"),
    "identity": ("rho", "source: input", (-math.inf, math.inf), "real"),
    "exp softplus": ("alpha", "parametrization: exp_softplus", (0, 1), "[-inf, 0]"),
    "exp sigmoid": ("alpha", "parametrization: exp_sigmoid, range: [0.25, 1]", (0.25, 1), "[-inf, 0]"),
    "decay in a range": ("alpha", "range: [0.25, 0.75]", (0.25, 0.75), "[-inf, 0]"),
    "eta": ("alpha", "parametrization: exp_softplus, source: eta", (0, 1), "[-inf, 0]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", RANGES)
def test_a_gate_starts_at_its_init_and_stays_in_its_range(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One init per head; and with biases of ±30, and projections of ±4, no value is outside."""
    gate, fields, (low, high), domain = RANGES[case]
    inits = (0.5, 0.625)
    spec = gates_of(**{gate: f"{{init: {list(inits)}, {fields}}}"})
    keyword = f"log_{gate}" if gate == "alpha" else gate
    folder = without_tiles(spec).write(tmp_path)
    assert {entry["name"]: entry["domain"] for entry in json.loads((folder / "manifest.json").read_text())["inputs"]}[keyword] == domain
    layer, x = layer_of(load_package(folder), spec).double(), hidden(2, 5)

    def values() -> Tensor:
        value: Tensor = handed_to_the_operator(monkeypatch, "chunk_x", layer, x)[keyword]
        return value.exp() if gate == "alpha" else value

    assert torch.allclose(values(), torch.tensor(inits).double().expand(2, 5, 2), rtol=1e-6, atol=0)
    for bias in (-30.0, 0.0, 30.0):
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                if f"{gate}_gate" in name or (case == "eta" and "eta_gate" in name):
                    parameter.copy_(4 * torch.randn_like(parameter) + (bias if name.endswith("bias") else 0))
        assert float(values().detach().min()) >= low
        assert float(values().detach().max()) <= high
        assert values().isfinite().all()


def test_a_gate_of_eta_has_the_softplus_of_eta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mamba-2: dt = softplus(x W + b), log α = −exp(A) dt; the write is dt kᵀ ⊗ v."""
    layer, x = small_layer("mamba2"), hidden(2, 6)
    given = handed_to_the_operator(monkeypatch, "chunk_mamba2", layer, x)
    dt = torch.log1p(torch.exp(x @ layer.eta_gate.weight.T + layer.eta_gate.bias))
    assert distance(given["eta"], dt) < 1e-14
    assert distance(given["log_alpha"], -torch.exp(layer.alpha_rate.A_log) * dt) < 1e-14
    assert not hasattr(layer, "alpha_gate")


def project(gate: Any, x: Tensor) -> Tensor:
    projected: Tensor = x @ gate.down.T @ gate.up.T if hasattr(gate, "down") else x @ gate.weight.T
    numbers: Tensor = projected.reshape(*x.shape[:2], *gate.bias.shape) + gate.bias
    return numbers


@pytest.mark.parametrize("name", ["gated_delta_net", "kda"])
def test_the_decay_of_gated_delta_nets_is_mamba_2s_and_the_step_a_sigmoid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """log α = −exp(A) softplus(x W + b) with A per head, b per channel in KDA; β = σ(x W)."""
    layer, x = small_layer(name), hidden(2, 6)
    given = handed_to_the_operator(monkeypatch, f"chunk_{name}", layer, x)
    rate = torch.exp(layer.alpha_rate.A_log)
    rate = rate[:, None] if name == "kda" else rate
    assert given["log_alpha"].shape == ((2, 6, 2, 4) if name == "kda" else (2, 6, 2))
    assert distance(given["log_alpha"], -rate * torch.log1p(torch.exp(project(layer.alpha_gate, x)))) < 1e-14
    assert distance(given["eta"], 1 / (1 + torch.exp(-project(layer.eta_gate, x)))) < 1e-14


def test_the_decay_of_rwkv7_stays_above_that_of_half_an_e(monkeypatch: pytest.MonkeyPatch) -> None:
    """w = exp(−e^(−1/2) σ(d))."""
    layer, x = small_layer("rwkv7"), hidden(2, 6)
    given = handed_to_the_operator(monkeypatch, "chunk_rwkv7", layer, x)
    assert distance(given["log_alpha"], -math.exp(-0.5) / (1 + torch.exp(-project(layer.alpha_gate, x)))) < 1e-14


DELTA = """channel_step_delta charbonnier_delta clipped_delta comba delta_net delta_product epsilon_delta gated_delta_net huber_delta
huber_norm_delta kda log_cosh_delta momentum_huber nesterov_delta omega_delta omega_huber preconditioned_gdn predictive_delta robust_delta
softmax_delta squared_relu_delta titans_linear value_gated_delta value_gated_huber vector_delta vector_huber""".split()


def test_the_steps_of_delta_rules_stay_where_their_transition_is_a_contraction() -> None:
    """On unit keys: the step, times the slope of the bias, times the tokens of its window, is between 0 and 2."""
    for name in DELTA:
        spec = small_spec(name)
        own, bias = spec.gate_range("eta"), spec.attentional_bias
        assert own.low == 0, name
        assert own.high * getattr(bias, "scale", 1) * (bias.window or 1) <= 2, name


def test_declared_ranges_decide_on_convexity() -> None:
    """A width that is declared positive is not tried at −1.96."""
    spec = SPEC.replace("sum((1 + rho**2)*(u - v)**2)", "rho*sum((u - v)**2)").replace("ALPHA", "{}").replace("ETA", "{}")
    assert convexity_of(parsed(spec.replace("RHO", "{}"))).kind == "counterexample"
    for fields in ("parametrization: positive", "parametrization: softplus", "range: [0, null]", "parametrization: tanh, range: [0.5, 2]"):
        assert convexity_of(parsed(spec.replace("RHO", f"{{{fields}}}"))).kind == "convex", fields


WRONG = {
    "alpha: {parametrization: softplus}": "made by softplus; it is a decay, which the operators take as a logarithm; one of sigmoid",
    "eta: {parametrization: exp_softplus}": "made by exp_softplus; that is for decays",
    "eta: {parametrization: tanh}": "it reaches from -1 to 1, and 'eta' lies from 0 to inf; say a narrower `range`",
    "alpha: {range: [0.5, 1.5]}": "it reaches from 0.5 to 1.5, and 'alpha' lies from 0 to 1",
    "alpha: {parametrization: exp_sigmoid}": "no range is given; its lower end belongs to the formula",
    "alpha: {parametrization: exp_sigmoid, range: [0, 1]}": "exp_sigmoid takes a lower end above 0, and 1",
    "eta: {parametrization: 2*sigmoid, range: [0, 1]}": "the range of 2*sigmoid is 0 to 2; remove `range`",
    "eta: {parametrization: softplus, range: [0, 1]}": "softplus takes a lower end and null",
    "eta: {parametrization: sigmoid, range: [0, null]}": "sigmoid takes two ends",
    "eta: {range: [1, 0.5]}": "it is empty",
    "rho: {range: [null, 1]}": "the range of identity is all numbers",
    "rho: {source: constant, parametrization: positive}": "the gate 'rho' is constant and has a parametrization",
    "rho: {source: constant, range: [0, 1]}": "the gate 'rho' is constant and has a range",
    "eta: {parametrization: sigmoid, init: 1}": "starts at 1; 'eta' is [0, 1], and its sigmoid does not reach the ends; for example 0.02",
    "rho: {parametrization: tanh, range: [4, 6], init: 1}": "starts at 1; 'rho' is [4, 6], and its tanh does not reach the ends",
    "rho: {source: eta}": "the gate 'rho' is made of eta; log α = −exp(A) η is a decay with the parametrization exp_softplus",
    "alpha: {source: eta}": "the gate 'alpha' is made of eta; log α = −exp(A) η is a decay",
    "alpha: {source: eta, parametrization: exp_softplus, per: key_channel}": "it is per key_channel, and eta per head; say `per: head`",
}


@pytest.mark.parametrize("gate", WRONG)
def test_a_range_that_no_parametrization_keeps_is_refused(gate: str) -> None:
    name, _, fields = gate.partition(": ")
    with pytest.raises(SpecError) as caught:
        gates_of(**{name: fields})
    assert WRONG[gate] in str(caught.value)
    assert len(caught.value.problems) == 1


def test_the_operator_takes_more_than_a_layer_makes() -> None:
    """A declared range is the manifest's domain; the argument's letter decides the range of the rule."""
    spec = gates_of(eta="{parametrization: sigmoid, init: 0.5}")
    assert {a.name: a.domain for a in build_interface(describe_rule(spec)).tokens}["eta"] == "[0, 1]"
    module = small_package("gated_delta_net")
    q = torch.ones(1, 2, 1, 1)
    o, _ = module.naive_recurrent_gated_delta_net(q, q, q, log_alpha=torch.zeros(1, 2, 1), eta=torch.full((1, 2, 1), 1.5))
    assert torch.allclose(o.flatten(), torch.tensor([1.5, 0.75]))
    assert layer_of(module, small_spec("gated_delta_net")).q_proj.in_features == HIDDEN
