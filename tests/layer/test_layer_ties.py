"""Rows that a layer makes of others: the operator gets the rows that the papers tie, with a cache or without."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.layer_package import HIDDEN, distance, handed_to_the_operator, hidden, small_layer, small_package, small_spec

TIED = ("rwkv7", "hgrn2", "comba", "gdn2")


@cache
def layer_for(name: str) -> Any:
    return small_layer(name)


def handed(name: str, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return handed_to_the_operator(monkeypatch, f"chunk_{name}", layer_for(name), x)


def low_rank_sigmoid(gate: Any, x: Tensor) -> Tensor:
    """[B, T, H, channels], from the gate's parameters."""
    pre = torch.einsum("cr,rd,btd->btc", gate.up, gate.down, x).reshape(*x.shape[:2], *gate.bias.shape) + gate.bias
    return 1 / (1 + torch.exp(-pre))


def test_rwkv7_writes_the_removal_at_a_times_the_removal_key(monkeypatch: pytest.MonkeyPatch) -> None:
    x = hidden(2, 6)
    given, layer = handed("rwkv7", x, monkeypatch), layer_for("rwkv7")
    a = low_rank_sigmoid(layer.erase_write_key_gate, x)
    assert float(a.detach().std()) > 0.01
    assert distance(given["erase_write_key"], a * given["erase_key"]) < 1e-14
    assert not hasattr(layer, "erase_write_key_proj")


def test_hgrn2_has_one_minus_alpha_for_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    x = hidden(2, 6)
    given, layer = handed("hgrn2", x, monkeypatch), layer_for("hgrn2")
    alpha = torch.sigmoid((x @ layer.alpha_gate.weight.T).reshape(2, 6, 2, 4) + layer.alpha_gate.bias)
    assert distance(given["log_alpha"].exp(), alpha) < 1e-14
    assert distance(given["k"], 1 - alpha) < 1e-14
    assert not hasattr(layer, "k_proj")


@pytest.mark.slow
def test_comba_predicts_along_a_learned_multiple_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    given, layer = handed("comba", hidden(2, 6), monkeypatch), layer_for("comba")
    factor = torch.sigmoid(layer.erase_key_gate.value)[:, None]
    assert factor.shape == (2, 1)
    assert distance(given["erase_key"], factor * given["k"]) < 1e-14
    assert torch.equal(given["erase_write_key"], given["k"])


def test_gdn2_erases_and_writes_through_gates_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    x = hidden(2, 6)
    given, layer = handed("gdn2", x, monkeypatch), layer_for("gdn2")
    assert distance(given["erase_key"], low_rank_sigmoid(layer.erase_key_gate, x) * given["k"]) < 1e-14
    w = low_rank_sigmoid(layer.v_gate, x)
    with torch.no_grad():
        layer.v_gate.bias += 40.0
    open_gate = handed("gdn2", x, monkeypatch)["v"]
    with torch.no_grad():
        layer.v_gate.bias -= 40.0
    assert distance(given["v"], w * open_gate) < 1e-12


@pytest.mark.parametrize("name", TIED)
def test_tied_rows_are_made_anew_of_every_token(name: str) -> None:
    """One token at a time, as the whole; and every parameter has a gradient."""
    layer, x = layer_for(name), hidden(2, 6)
    whole = layer(x)[0]
    outputs, past = [], None
    for t in range(x.shape[1]):
        o, _, past = layer(x[:, t : t + 1], past_key_values=past, use_cache=True)
        outputs.append(o)
    assert distance(torch.cat(outputs, 1), whole) < 1e-12
    layer.zero_grad()
    torch.autograd.backward(whole.square().sum())
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


@pytest.mark.parametrize("name", TIED)
def test_tied_rows_have_the_dtype_of_the_others_under_autocast(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = small_package(name)
    layer = getattr(module, type(layer_for(name)).__name__)(HIDDEN, layer_idx=0)
    with torch.autocast("cpu", torch.bfloat16):
        given = handed_to_the_operator(monkeypatch, f"chunk_{name}", layer, hidden(1, 3).float())
    rows = {given[row].dtype for row in ("q", "k", "v", "erase_key", "erase_write_key") if row in given}
    assert rows == {torch.bfloat16}
    assert small_spec(name).layer.tie
