"""Caches and hidden states that are none of a layer's are refused by name; those of all layers have the same fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from kit.layer_package import HIDDEN, distance, hidden, layer_of, package_of, small_layer, small_spec


def cache_of(name: str, batch: int = 2, **arguments: Any) -> Any:
    return small_layer(name, **arguments)(hidden(batch, 3), use_cache=True)[2][0]


def changed(**fields: Any) -> dict[int, Any]:
    return {0: cache_of("gated_delta_net")._replace(**fields)}


STATE = torch.zeros(2, 2, 4, 4, dtype=torch.float64)
FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "tuple": (lambda: (STATE,), "past_key_values: expected the mapping from numbers of layers to caches that a layer returned, got tuple"),
    "list": (lambda: [STATE], "past_key_values: expected the mapping .* got list"),
    "tensor": (lambda: STATE, "past_key_values: expected the mapping .* got Tensor"),
    "a dict per state": (lambda: {0: {"W": STATE}}, r"past_key_values\[0\]: expected a LayerCache, got dict"),
    "a tuple per layer": (lambda: {0: (STATE, STATE)}, r"past_key_values\[0\]: expected a LayerCache, got tuple"),
    "no state": (lambda: changed(recurrent_state=None), r"past_key_values\[0\].recurrent_state: expected a dict of tensors, got NoneType"),
    "a number": (lambda: changed(recurrent_state={"W": 0.0}), r"recurrent_state\['W'\]: expected a tensor, got float"),
    "another state": (
        lambda: changed(recurrent_state={"X": STATE}),
        r"\[0\].recurrent_state: expected entries among W, got X",
    ),
    "another width": (
        lambda: changed(recurrent_state={"W": STATE[..., :3]}),
        r"\[0\].recurrent_state.W: expected shape .* got \[2, 2, 4, 3\]",
    ),
    "a sparse state": (
        lambda: changed(recurrent_state={"W": STATE.to_sparse()}),
        r"past_key_values\[0\].recurrent_state.W: expected a dense tensor",
    ),
    "no convolution": (lambda: changed(conv_state={}), r"past_key_values\[0\].conv_state: expected entries \['k', 'q', 'v'\], got \[\]"),
    "another convolution": (
        lambda: changed(conv_state=dict.fromkeys("qkv", torch.zeros(2, 2, 8))),
        r"conv_state\['q'\]: expected shape \[N, tokens, channels\] = \[2, 3, 8\], got \[2, 2, 8\]",
    ),
    "another batch": (
        lambda: {0: cache_of("gated_delta_net", batch=3)},
        r"expected a row for each of 2 sequences, got \[3, 2, 4, 4\]",
    ),
    "another model": (lambda: {0: cache_of("titans_lmm")}, r"past_key_values\[0\].recurrent_state: expected entries among W, got W1"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_cache_that_the_layer_did_not_return_is_refused(case: str) -> None:
    made, message = FOREIGN[case]
    with pytest.raises(ValueError, match=message):
        small_layer("gated_delta_net")(hidden(2, 2), past_key_values=made())


def test_the_cache_of_a_memory_of_one_tensor_may_be_that_tensor() -> None:
    layer, x = small_layer("gated_delta_net"), hidden(2, 2)
    past = cache_of("gated_delta_net")
    bare = past._replace(recurrent_state=past.recurrent_state["W"])
    assert torch.equal(layer(x, past_key_values={0: bare})[0], layer(x, past_key_values={0: past})[0])


def test_layers_without_a_convolution_have_the_same_cache_fields() -> None:
    spec = small_spec("gated_delta_net", conv=0)
    _, _, past = layer_of(package_of(spec), spec)(hidden(2, 3).float(), use_cache=True)
    assert past[0]._fields == cache_of("gated_delta_net")._fields
    assert past[0].conv_state == {}


WRONG = {
    "width": (torch.zeros(2, 3, HIDDEN + 1).double(), rf"hidden_states: expected .* \[B, T, {HIDDEN}\] .* got torch.float64 of shape"),
    "axes": (torch.zeros(2, HIDDEN).double(), r"hidden_states: expected .* got torch.float64 of shape \[2, 12\]"),
    "no rows": (torch.zeros(0, 3, HIDDEN).double(), "hidden_states: expected .* with B of at least 1"),
    "integers": (torch.zeros(2, 3, HIDDEN, dtype=torch.int64), "hidden_states: expected floating-point numbers"),
    "another type": (torch.zeros(2, 3, HIDDEN), "hidden_states: expected torch.float64, as the layer's weights are, got torch.float32"),
    "sparse": (
        torch.zeros(2, 3, HIDDEN).double().to_sparse(),
        "hidden_states: expected a dense tensor, got one of layout torch.sparse_coo",
    ),
    "no tensor": ([[0.0] * HIDDEN], "hidden_states: expected .* got list"),
}


@pytest.mark.parametrize("case", WRONG)
def test_hidden_states_that_do_not_fit_are_refused(case: str) -> None:
    x, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        small_layer("gated_delta_net")(x)


@pytest.mark.parametrize("width", ["hidden_size", "heads", "head_dim", "value_dim"])
@pytest.mark.parametrize("value", [0, -2, 2.0, True])
def test_a_width_of_nothing_is_refused(width: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{width}: expected an integer of at least 1, got {value!r}"):
        small_layer("gated_delta_net", **{width: value})


def test_no_tokens_are_no_change() -> None:
    layer, x = small_layer("titans_lmm"), hidden(2, 5)
    _, _, past = layer(x, use_cache=True)
    o, _, after = layer(x[:, :0], past_key_values=past, use_cache=True)
    assert o.shape == (2, 0, HIDDEN)
    assert all(torch.equal(value, past[0].recurrent_state[entry]) for entry, value in after[0].recurrent_state.items())
    assert distance(layer(x, past_key_values=after)[0], layer(x, past_key_values=past)[0]) == 0
    assert isinstance(layer, nn.Module)
