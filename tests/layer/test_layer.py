"""The generated layers: shapes, gradients, starts of gates, and the tools of training that must work on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from kit.layer_package import (
    DEEP,
    HIDDEN,
    MODELS,
    distance,
    handed_to_the_operator,
    hidden,
    layer_of,
    package_of,
    small_layer,
    small_package,
    small_spec,
)

KEYWORDS = {"alpha": "log_alpha", "mu": "log_mu"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_hidden_states_become_hidden_states_and_every_gradient_is_finite(name: str) -> None:
    layer, x = small_layer(name, moved=False), hidden(2, 11).requires_grad_()
    o, weights, cache = layer(x)
    assert o.shape == x.shape
    assert weights is None
    assert cache is None
    o.square().sum().backward()
    for owner, gradient in {"x": x.grad, **{key: parameter.grad for key, parameter in layer.named_parameters()}}.items():
        assert gradient is not None, owner
        assert gradient.isfinite().all(), owner


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_a_moved_layer_matters(name: str) -> None:
    """Moved, for at the start the outer half of a low-rank projection is 0, and the inner half has no gradient yet."""
    layer = small_layer(name)
    layer(hidden(2, 11))[0].square().sum().backward()
    for key, parameter in layer.named_parameters():
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", ["gated_delta_net", "yaad"])
def test_the_constructor_overrides_the_dimensions_of_the_spec(name: str) -> None:
    layer = small_layer(name, moved=False, hidden_size=10, heads=3, head_dim=6)
    x = torch.randn(2, 5, 10, dtype=torch.float64)
    assert layer(x)[0].shape == x.shape
    assert layer.v_proj.weight.shape == (18, 10)


@pytest.mark.slow
def test_a_memory_that_adds_keys_to_values_refuses_two_widths() -> None:
    with pytest.raises(ValueError, match="value_dim: expected 4, because the memory combines keys and values"):
        small_layer("yaad", value_dim=5)


def test_the_width_of_the_model_is_the_layers_default() -> None:
    assert small_layer("linear_attention").o_proj.weight.shape[0] == HIDDEN


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", MODELS)
def test_gates_start_at_their_init(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 under autocast of a float32 layer: gates stay in float32."""
    spec = small_spec(name)
    layer, x = small_layer(name, moved=False), hidden(2, 3)
    if dtype == torch.bfloat16:
        layer, x = layer.float(), x.float()
    with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
        given = handed_to_the_operator(monkeypatch, f"chunk_{name}", layer, x)
    for gate, fields in spec.gates.items():
        value = given[KEYWORDS.get(gate, gate)]
        assert value.shape == (2, 3, 2)
        assert value.dtype in (torch.float64, torch.float32)
        start = value.exp() if gate in KEYWORDS else value
        assert torch.allclose(start.double(), torch.tensor(fields.init, dtype=torch.float64), rtol=1e-6, atol=0), gate


def test_keys_and_queries_have_length_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given = handed_to_the_operator(monkeypatch, "chunk_yaad", small_layer("yaad"), hidden(2, 3))
    for row in (given["q"], given["k"]):
        assert torch.allclose(row.norm(dim=-1), torch.ones(()).double(), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DEEP, "ttt_mlp"])
def test_a_deep_memory_starts_at_learned_weights_of_the_declared_spread(name: str) -> None:
    spec = small_spec(name, heads=32, head_dim=32, value_dim=32)
    assert (spec.memory.init.std == "fan_in") == (name == "ttt_mlp")
    layer = layer_of(package_of(spec), spec)
    for weight in (layer.W1, layer.W2):
        assert isinstance(weight, torch.nn.Parameter)
        expected = weight.shape[-2] ** -0.5 if spec.memory.init.std == "fan_in" else spec.memory.init.std
        assert float(weight.detach().std()) == pytest.approx(expected, rel=0.02)
    assert torch.equal(layer.ln_weight, torch.ones(32, 32))
    assert torch.equal(layer.ln_bias, torch.zeros(32, 32))


@pytest.mark.parametrize("name", MODELS)
def test_a_layer_made_on_the_meta_device_can_be_drawn(name: str) -> None:
    with torch.device("meta"):
        layer = layer_of(small_package(name), small_spec(name))
    layer.to_empty(device="cpu")
    for module in layer.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert layer(hidden(1, 5).float())[0].isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_autocast_to_bfloat16_comes_close_to_float32(name: str) -> None:
    layer, x = small_layer(name, moved=False).float(), hidden(2, 9).float().requires_grad_()
    expected = layer(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        o = layer(x)[0]
    assert o.dtype == torch.bfloat16
    assert (o - expected).norm() < 0.05 * expected.norm()
    o.float().square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_a_bfloat16_layer_comes_close_to_float32(name: str) -> None:
    layer, x = small_layer(name, moved=False).float(), hidden(2, 9).float()
    expected = layer(x)[0]
    o = layer.bfloat16()(x.bfloat16())[0]
    assert o.dtype == torch.bfloat16
    assert (o - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("name", MODELS)
def test_gradient_checkpointing_gives_the_same_gradients(name: str) -> None:
    layer, x = small_layer(name), hidden(2, 9)
    gradients = []
    for run in (layer, lambda *given: checkpoint(layer, *given, use_reentrant=False)):
        layer.zero_grad()
        _, _, past = run(x[:, :5], None, None, True)
        o, _, _ = run(x[:, 5:], None, past, True)
        o.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_layer_around_the_operator_compiles_without_a_graph_break(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{small_package(name).__name__}.layer.chunk_{name}", lambda q, k, v, **given: (v * given["eta"][..., None], None))
    layer, x = small_layer(name), hidden(2, 6)
    compiled: Any = torch.compile(layer, backend="eager", fullgraph=True)
    assert distance(compiled(x)[0], layer(x)[0]) < 1e-12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, which it means to hide
def test_a_compiled_layer_gives_the_same_outputs_and_gradients() -> None:
    layer, x = small_layer("titans_lmm"), hidden(2, 5)
    results = []
    compiled: Any = torch.compile(layer, backend="eager")
    for run in (layer, compiled):
        layer.zero_grad()
        o = run(x)[0]
        torch.autograd.backward(o.square().sum())
        results.append([o.detach(), *(parameter.grad.clone() for parameter in layer.parameters())])
    assert all(distance(one, other) < 1e-9 for one, other in zip(*results, strict=True))
