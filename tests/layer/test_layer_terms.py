"""Heads of values, the skip D v, and rows that are sums, that lag, that are zero, or with the root of a gate: by loops over tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.layer_package import distance, hidden, layer_of, package_of, small_spec
from miras_compiler.derive.rule import describe_rule
from miras_compiler.emit.interface import build_interface
from miras_compiler.emit.model import count_layer, sizes_of
from miras_compiler.spec import Spec
from miras_compiler.verify.literal.layer import LiteralLayer

Step = Callable[[int, int, Tensor], tuple[Tensor, Tensor]]
PER_HEAD = {"per": "head", "low_rank": None}
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "lookahead": ("gated_delta_net", {"conv": 0, "tie": {"k": {"of": "k", "lag": 1}}}),
    "grouped": ("gated_delta_net", {"value_heads": 6, "skip": True, "tie": {"k": {"of": "k", "gate": {"root": True}}}}),
    "q_delta": (
        "comba",
        {"tie": {"erase_key": {"of": "k", "plus": [{"of": "q", "gate": PER_HEAD}]}, "erase_write_key": {"of": "k"}}},
    ),
    "eda": ("delta_product", {"tie": {"v": {"of": "zero", "write": 1}}}),
    "shifted": (
        "hgrn2",
        {
            "value_heads": 4,
            "tie": {"k": {"of": "1 - alpha", "lag": 1}, "v": {"of": "v", "gate": {}, "plus": [{"of": "v", "lag": 1, "minus": True}]}},
        },
    ),
}  # fmt: skip


@cache
def spec_of(case: str) -> Spec:
    name, settings = CASES[case]
    return small_spec(name, **settings)


@cache
def package_for(case: str) -> Any:
    return package_of(spec_of(case))


@cache
def layer_for(case: str) -> Any:
    """A layer away from its start, in float64."""
    layer = layer_of(package_for(case), spec_of(case)).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return layer


def row(layer: Any, name: str, x: Tensor, heads: int, *, unit: bool) -> list[Tensor]:
    """Of every token, [rows, D]: projected, convolved, silu, of length 1."""
    projected = x @ layer.get_submodule(f"{name}_proj").weight.T
    if hasattr(layer, f"{name}_conv1d"):
        weight = layer.get_submodule(f"{name}_conv1d").weight
        width = len(weight)
        projected = torch.stack(
            [sum(weight[width - 1 - lag] * projected[t - lag] for lag in range(width) if lag <= t) for t in range(len(x))]
        )
    rows = [y.reshape(heads, -1) for y in projected / (1 + torch.exp(-projected))]
    return [y / torch.sqrt((y * y).sum(-1, keepdim=True) + 1e-6) for y in rows] if unit else rows


def number(gate: Any, x: Tensor) -> Tensor:
    """The argument of a gate's sigmoid or softplus, of every token."""
    weight = gate.weight if hasattr(gate, "weight") else gate.up @ gate.down
    pre: Tensor = (x @ weight.T).reshape(len(x), *gate.bias.shape) + gate.bias
    return pre


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def decay(layer: Any, x: Tensor) -> Tensor:
    """exp(−exp(A) softplus), a number per token and head."""
    return torch.exp(-torch.exp(layer.alpha_rate.A_log) * torch.log1p(torch.exp(number(layer.alpha_gate, x))))


def run(layer: Any, x: Tensor, heads: int, step: Step) -> Tensor:
    """`step` maps token, head and memory to the memory behind the token and the reading; readings are normalized, gated and projected."""
    memory, readings = [x.new_zeros(4, 4)] * heads, []
    for t in range(len(x)):
        found = [step(t, h, memory[h]) for h in range(heads)]
        memory = [each for each, _ in found]
        readings.append(torch.stack([reading for _, reading in found]))
    o = torch.stack(readings)
    y: Tensor = (o / torch.sqrt((o * o).mean(-1, keepdim=True) + 1e-5) * layer.o_norm_weight).flatten(1)
    if hasattr(layer, "g_proj"):
        gate = x @ layer.g_proj.weight.T
        y = y * gate * sigmoid(gate)
    projected: Tensor = y @ layer.o_proj.weight.T
    return projected


def lookahead(layer: Any, x: Tensor) -> Tensor:
    """Token t writes v_t at the key of token t − 1; the first token writes at a key of zeros."""
    q, k, v = row(layer, "q", x, 2, unit=True), row(layer, "k", x, 2, unit=True), row(layer, "v", x, 2, unit=False)
    alpha, eta = decay(layer, x), sigmoid(number(layer.eta_gate, x))

    def step(t: int, h: int, memory: Tensor) -> tuple[Tensor, Tensor]:
        at, kept = k[t - 1][h] if t else torch.zeros(4, dtype=x.dtype), alpha[t, h] * memory
        memory = kept + eta[t, h] * torch.outer(at, v[t][h] - at @ kept)
        return memory, q[t][h] @ memory

    return run(layer, x, 2, step)


def grouped(layer: Any, x: Tensor) -> Tensor:
    """Six heads of values on two of keys, side by side; gates of the six; √g k erases and writes; o + D v."""
    q, k, v = row(layer, "q", x, 2, unit=True), row(layer, "k", x, 2, unit=True), row(layer, "v", x, 6, unit=False)
    alpha, eta, g = decay(layer, x), sigmoid(number(layer.eta_gate, x)), sigmoid(number(layer.k_gate, x))
    assert (alpha.shape, g.shape, layer.D.shape) == ((len(x), 6), (len(x), 6, 4), (6,))

    def step(t: int, h: int, memory: Tensor) -> tuple[Tensor, Tensor]:
        at, kept = torch.sqrt(g[t, h]) * k[t][h // 3], alpha[t, h] * memory
        memory = kept + eta[t, h] * torch.outer(at, v[t][h] - at @ kept)
        return memory, q[t][h // 3] @ memory + layer.D[h] * v[t][h]

    return run(layer, x, 6, step)


def q_delta(layer: Any, x: Tensor) -> Tensor:
    """The prediction is that at k + λ q, the write is at k."""
    q, k, v = row(layer, "q", x, 2, unit=True), row(layer, "k", x, 2, unit=True), row(layer, "v", x, 2, unit=False)
    alpha, eta, feedback = decay(layer, x), sigmoid(number(layer.eta_gate, x)), sigmoid(number(layer.erase_key_gate_2, x))

    def step(t: int, h: int, memory: Tensor) -> tuple[Tensor, Tensor]:
        kept = alpha[t, h] * memory
        predicted = (k[t][h] + feedback[t, h] * q[t][h]) @ kept
        memory = kept + eta[t, h] * torch.outer(k[t][h], v[t][h] - predicted)
        return memory, q[t][h] @ memory

    return run(layer, x, 2, step)


def eda(layer: Any, x: Tensor) -> Tensor:
    """After the decay, κ is erased by γ, and then v is written at k by eta."""
    q, keys, v = row(layer, "q", x, 2, unit=True), row(layer, "k", x, 4, unit=True), row(layer, "v", x, 2, unit=False)
    alpha, steps = decay(layer, x), 2 * sigmoid(number(layer.eta_gate, x))

    def step(t: int, h: int, memory: Tensor) -> tuple[Tensor, Tensor]:
        kappa, key, gamma, eta = keys[t][h], keys[t][2 + h], steps[t, h], steps[t, 2 + h]
        kept = alpha[t, h] * memory
        kept = kept - gamma * torch.outer(kappa, kappa @ kept)
        memory = kept + eta * torch.outer(key, v[t][h] - key @ kept)
        return memory, q[t][h] @ memory

    return run(layer, x, 2, step)


def shifted(layer: Any, x: Tensor) -> Tensor:
    """A key is 1 − alpha of the token before, in the four heads of alpha; a value is g v minus that of the token before."""
    q, v = row(layer, "q", x, 2, unit=False), row(layer, "v", x, 4, unit=False)
    alpha, g = sigmoid(number(layer.alpha_gate, x)), sigmoid(number(layer.v_gate, x))

    def step(t: int, h: int, memory: Tensor) -> tuple[Tensor, Tensor]:
        memory = alpha[t, h][:, None] * memory
        if t:
            memory = memory + torch.outer(1 - alpha[t - 1, h], g[t, h] * v[t][h] - v[t - 1][h])
        return memory, q[t][h // 2] @ memory

    return run(layer, x, 4, step)


LOOPS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "lookahead": lookahead, "grouped": grouped, "q_delta": q_delta, "eda": eda, "shifted": shifted,
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_layer_is_the_loop_of_its_definition(case: str) -> None:
    """And that of the verification's literal layer; every parameter matters."""
    layer, x = layer_for(case), hidden(1, 7)
    o = layer(x)[0]
    assert distance(o[0], LOOPS[case](layer, x[0])) < 1e-13
    assert distance(o, LiteralLayer(spec_of(case).model_dump(by_alias=True), 2)(x, layer.state_dict())) < 1e-13
    layer.zero_grad()
    torch.autograd.backward(o.square().sum())
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


@pytest.mark.parametrize("case", CASES)
def test_its_sequences_do_not_see_each_other_and_its_cache_goes_on(case: str) -> None:
    layer, x = layer_for(case), hidden(2, 6)
    whole = layer(x)[0]
    outputs, past = [], None
    for piece in torch.split(x, [3, 1, 1, 1], 1):
        o, _, past = layer(piece, past_key_values=past, use_cache=True)
        outputs.append(o)
    assert distance(torch.cat(outputs, 1), whole) < 1e-13
    short = layer(x[1:, :4])[0]
    packed = torch.cat((x[:1], x[1:, :4]), 1)
    o, _, past = layer(packed, cu_seqlens=torch.tensor([0, 6, 10], dtype=torch.int32), use_cache=True)
    assert distance(o, torch.cat((whole[:1], short), 1)) < 1e-13
    assert distance(layer(x[:, 4:5], past_key_values=past)[0][1], whole[1, 4:5]) < 1e-13
    mask = torch.tensor([[1] * 6, [0, 0] + [1] * 4])
    o, _, past = layer(torch.stack((x[0], torch.cat((x[0, :2], x[1, :4])))), attention_mask=mask, use_cache=True)
    assert distance(o[1, 2:], short[0]) < 1e-13
    assert distance(layer(x[:, 4:5], past_key_values=past)[0][1], whole[1, 4:5]) < 1e-13


@pytest.mark.parametrize("case", CASES)
def test_its_parameters_are_those_that_are_counted(case: str) -> None:
    rule = describe_rule(spec_of(case))
    interface = build_interface(rule)
    sizes = sizes_of(rule, interface)
    layer = layer_of(package_for(case), spec_of(case), hidden_size=sizes.hidden_size)
    assert sum(parameter.numel() for parameter in layer.parameters()) == count_layer(rule, interface, sizes)
