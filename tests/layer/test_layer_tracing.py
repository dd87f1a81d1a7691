"""Tools that run a layer without values, or on many at once: torch.compile, torch.export, meta and fake tensors, torch.func; and types."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from kit.layer_package import MODELS, distance, hidden, layer_of, package_of, small_layer, small_package, small_spec

pytestmark = pytest.mark.slow

PARALLEL = ("gated_delta_net", "titans_lmm")


def compiled(layer: Any) -> tuple[Any, list[int]]:
    """The layer as one graph per call, and a list that grows with every graph that is made."""
    graphs: list[int] = []

    def backend(module: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(1)
        return module.forward

    torch._dynamo.reset()
    run: Any = torch.compile(layer, backend=backend, fullgraph=True)
    return run, graphs


@pytest.mark.parametrize("name", PARALLEL)
def test_a_compiled_layer_is_one_graph_and_three_for_all_lengths_of_a_chunk(name: str) -> None:
    """One length, any length that cuts as many chunks, one token."""
    layer = small_layer(name)
    run, graphs = compiled(layer)
    lengths = (5, 6, 1, 7, 6) if name == "titans_lmm" else (7, 9, 1, 13, 30)
    for number, length in enumerate(lengths):
        x = hidden(2, length)
        assert distance(run(x)[0], layer(x)[0]) < 1e-12
        assert len(graphs) <= min(number + 1, 3)


def test_a_compiled_layer_takes_and_gives_a_cache() -> None:
    layer, x = small_layer("gated_delta_net"), hidden(2, 9)
    run, _ = compiled(layer)
    with torch.no_grad():
        _, _, past = run(x[:, :5], use_cache=True)
        assert distance(run(x[:, 5:], past_key_values=past)[0], layer(x)[0][:, 5:]) < 1e-12


@pytest.mark.parametrize("name", PARALLEL)
@pytest.mark.parametrize(
    "rows", [[[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]], [[0, 0, 1, 1, 1], [1, 0, 1, 1, 0]], [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]]
)
def test_a_compiled_layer_reads_no_value_of_a_mask(name: str, rows: list[list[int]]) -> None:
    layer, x, mask = small_layer(name), hidden(2, 5), torch.tensor(rows)
    run, graphs = compiled(layer)
    assert distance(run(x, attention_mask=mask)[0], layer(x, attention_mask=mask)[0]) < 1e-12
    assert len(graphs) == 1
    assert distance(run(x, attention_mask=1 - mask)[0], layer(x, attention_mask=1 - mask)[0]) < 1e-12
    assert len(graphs) == 1


@pytest.mark.parametrize("name", [*PARALLEL, "tnt_local"])
def test_an_exported_layer_is_the_layer_for_every_batch_and_length(name: str) -> None:
    layer, sizes = small_layer(name), {0: torch.export.Dim("batch", min=2), 1: torch.export.Dim("tokens", min=2)}
    exported = torch.export.export(layer, (hidden(3, 6),), dynamic_shapes={"hidden_states": sizes}).module()
    for x in (hidden(3, 6), hidden(2, 9), hidden(4, 2)):
        assert distance(exported(x)[0], layer(x)[0]) < 1e-12


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("padded", [False, True])
def test_shapes_are_found_without_values(name: str, padded: bool) -> None:
    layer, x = small_layer(name), hidden(2, 6)
    mask = torch.ones(2, 6, dtype=torch.int64) if padded else None
    expected = layer(x, mask, use_cache=True)[2][0].recurrent_state
    meta = copy.deepcopy(layer).to("meta")
    o, _, past = meta(x.to("meta"), None if mask is None else mask.to("meta"), use_cache=True)
    assert o.shape == x.shape
    assert {name: state.shape for name, state in past[0].recurrent_state.items()} == {name: state.shape for name, state in expected.items()}
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert layer(mode.from_tensor(x), None if mask is None else mode.from_tensor(mask))[0].shape == x.shape


@pytest.mark.parametrize("name", [*MODELS, "mamba2", "rwkv7", "delta_product", "omega_net", "lact", "sparse_memory"])
def test_gradients_per_sample_are_those_of_the_samples(name: str) -> None:
    compare_samples(small_layer(name), hidden(3, 5), None)


@pytest.mark.filterwarnings("ignore:torch.searchsorted:UserWarning")
@pytest.mark.parametrize("name", [*PARALLEL, "delta_product", "omega_net", "tnt_local"])
def test_gradients_per_sample_are_those_of_samples_with_padding_of_their_own(name: str) -> None:
    compare_samples(small_layer(name), hidden(3, 5), torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]))


def compare_samples(layer: Any, x: Tensor, masks: Tensor | None) -> None:
    """Gradients that vmap finds for x [3, T, D], and maybe masks [3, T], are those of one sample after the other."""
    weights = {key: parameter.detach() for key, parameter in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], sample: Tensor, mask: Tensor | None) -> Tensor:
        o: Tensor = functional_call(layer, weights, (sample[None], None if mask is None else mask[None]))[0]
        return o.square().sum()

    together: dict[str, Tensor] = vmap(grad(loss), (None, 0, None if masks is None else 0))(weights, x, masks)
    for number in range(3):
        alone: dict[str, Tensor] = grad(loss)(weights, x[number], None if masks is None else masks[number])
        for key, gradient in alone.items():
            assert distance(together[key][number], gradient) < 1e-10 * (1 + float(gradient.abs().max())), key


class NoDoubles(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A device without float64."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dtype == torch.float64:
            raise TypeError(f"{function} makes float64")
        return result


@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm", "mamba2", "retnet", "atlas"])
def test_a_layer_is_made_and_drawn_where_float64_does_not_exist(name: str) -> None:
    spec = small_spec(name, **({"heads": 8} if name == "retnet" else {}))
    package = package_of(spec)
    with NoDoubles(), torch.device("cpu"):  # type: ignore[no-untyped-call]
        layer = layer_of(package, spec)
        for module in layer.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    assert all(parameter.isfinite().all() for parameter in layer.parameters())


FLOAT16 = ["dla", "elu_linear_attention", "relu_linear_attention", "taylor_linear_attention", "sparse_memory", "swla"]


@pytest.mark.parametrize("name", FLOAT16)
def test_a_reading_beyond_float16_reaches_the_norm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of 10⁴, of which a memory holds many: the float64 layer of the same weights gives the outputs."""
    layer, readings = small_layer(name, moved=False).float(), []
    operator = getattr(small_package(name), f"chunk_{name}")

    def recorded(*rows: Tensor, **arguments: Any) -> Any:
        o, state = operator(*rows, **arguments)
        readings.append(float(o.detach().abs().max()))
        return o, state

    monkeypatch.setattr(f"{type(layer).__module__}.chunk_{name}", recorded)
    with torch.no_grad():
        layer.v_proj.weight.mul_(20 if name == "dla" else 800)  # the reading of a deep memory is a power of its values
        if name == "sparse_memory":
            layer.eta_gate.bias.fill_(1.0)
        layer, x = layer.half(), 10 * hidden(2, 60).half()
        o, expected = layer(x)[0], copy.deepcopy(layer).double()(x.double())[0]
    assert min(readings) > torch.finfo(torch.float16).max
    assert o.dtype == torch.float16
    assert o.isfinite().all()
    assert float((o.double() - expected).norm()) < 0.02 * float(expected.norm())
