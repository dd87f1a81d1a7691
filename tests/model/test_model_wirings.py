"""Titans' wirings against loops over tokens, written from the paper's equations 21 to 31; attention against a loop over keys."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from kit.layer_package import distance
from kit.model_package import language_model

pytest.importorskip("transformers")
WINDOW, SEGMENT, PERSISTENT, BASE = 5, 4, 3, 10000.0
LENGTH = 14
ATTENTION = "{heads: 2, window: 5}"


def hidden(length: int = LENGTH) -> Tensor:
    return torch.randn(length, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def turn(x: Tensor, position: int) -> Tensor:
    """x [H, D], its pairs (i, i + D/2) as complex numbers, turned."""
    half = x.shape[-1] // 2
    angle = position * torch.tensor([BASE ** (-i / half) for i in range(half)], dtype=torch.float64)
    z = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones(half, dtype=torch.float64), angle)
    return torch.cat((z.real, z.imag), -1)


def attend(attention: Any, query: tuple[Tensor, int], keys: list[tuple[Tensor, int]]) -> Any:
    """The output for one token: `query` and `keys` are hidden states with their positions."""

    def split(project: Any, x: Tensor) -> Any:
        return project(x).reshape(2, -1)

    q = turn(split(attention.q_proj, query[0]), query[1])
    k = torch.stack([turn(split(attention.k_proj, x), at) for x, at in keys])
    v = torch.stack([split(attention.v_proj, x) for x, _ in keys])
    weights = torch.softmax(torch.einsum("hd,nhd->hn", q, k) / math.sqrt(q.shape[-1]), -1)
    return attention.o_proj(torch.einsum("hn,nhd->hd", weights, v).flatten())


def norm(x: Tensor, module: Any) -> Any:
    return x / torch.sqrt(x.square().mean() + 1e-5) * module.weight


def gated(wiring: Any, y: Tensor, m: Tensor) -> Any:
    return norm(y, wiring.gated.y_norm) * torch.sigmoid(norm(m, wiring.gated.m_norm))


def mixer(name: str, kind: int = 0, **settings: object) -> Any:
    return (
        language_model(name, {"num_hidden_layers": 3 if "pattern" in settings else 1}, **settings)
        .requires_grad_(False)
        .model.layers[kind]
        .mixer
    )


def output(mixer: Any, x: Tensor, prefix: int = 0) -> Any:
    """The output of the mixer in the model's block for hidden states x [T, D], in one pass."""
    sequences = import_module(type(mixer).__module__.rsplit(".", 1)[0] + ".runtime_sequences").Sequences
    x = functional.pad(x, (0, 0, prefix, 0))[None]
    return mixer(x, None, sequences(1, x.shape[1], None, True, prefix), False)[0][0, prefix:]


def read(memory: Any, x: Tensor, state: dict[str, Tensor] | None) -> Any:
    """The output of a matrix, or an MLP with a residual, in `state` for x [D], with the layer's own projections, norm and gate."""
    q = functional.silu(memory.q_proj(x)).reshape(memory.heads, -1)
    q = q / torch.sqrt(q.square().sum(-1, keepdim=True) + 1e-6)
    if state is None:
        u = torch.zeros_like(q)
    elif "W" in state:
        u = torch.einsum("hk,hkv->hv", q, state["W"][0])
    else:
        f = torch.einsum("hn,hnv->hv", functional.gelu(torch.einsum("hk,hkn->hn", q, state["W1"][0])), state["W2"][0])
        u = q + functional.layer_norm(f, f.shape[-1:], eps=1e-6) * memory.ln_weight + memory.ln_bias
    u = u / torch.sqrt(u.square().mean(-1, keepdim=True) + 1e-5) * memory.o_norm_weight
    return memory.o_proj(u.flatten() * functional.silu(memory.g_proj(x)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm"])
def test_mac_reads_attends_writes_and_gates(name: str) -> None:
    wiring = mixer(name, wiring="mac", segment=SEGMENT, persistent=PERSISTENT, attention="{heads: 2}")
    x, memory, past, expected = hidden(), wiring.memory, None, []
    own = [(token, at) for at, token in enumerate(wiring.persistent)]
    for first in range(0, LENGTH, SEGMENT):
        segment = x[first : first + SEGMENT]
        entering = memory.initial_state(1) if past is None else past[0].recurrent_state
        history = [(read(memory, token, entering), PERSISTENT + at) for at, token in enumerate(segment)]
        tokens = [(token, PERSISTENT + SEGMENT + at) for at, token in enumerate(segment)]
        y = [attend(wiring.attention, tokens[at], own + history[: at + 1] + tokens[: at + 1]) for at in range(len(segment))]
        for token in y:
            m, _, past = memory(token[None, None], past_key_values=past, use_cache=True)
            expected.append(gated(wiring, token, m[0, 0]))
    assert distance(output(wiring, x), torch.stack(expected)) < 1e-10


def test_mag_gates_attention_to_a_window_and_persistent_tokens_by_the_memory() -> None:
    wiring = mixer("gated_delta_net", wiring="mag", persistent=PERSISTENT, attention=ATTENTION)
    whole = torch.cat((wiring.persistent, hidden()))
    m = wiring.memory(whole[None])[0][0]
    keys = [(token, at) for at, token in enumerate(whole)]
    expected = []
    for at in range(PERSISTENT, len(whole)):
        y = attend(wiring.attention, keys[at], keys[:PERSISTENT] + keys[max(PERSISTENT, at - WINDOW + 1) : at + 1])
        expected.append(gated(wiring, y, m[at]))
    assert distance(output(wiring, hidden(), PERSISTENT), torch.stack(expected)) < 1e-10


def test_mal_attends_to_what_the_memory_gives() -> None:
    wiring = mixer("gated_delta_net", wiring="mal", persistent=PERSISTENT, attention=ATTENTION)
    m = wiring.memory(torch.cat((wiring.persistent, hidden()))[None])[0][0]
    keys = [(token, at) for at, token in enumerate(m)]
    expected = [attend(wiring.attention, keys[at], keys[max(0, at - WINDOW + 1) : at + 1]) for at in range(PERSISTENT, len(keys))]
    assert distance(output(wiring, hidden(), PERSISTENT), torch.stack(expected)) < 1e-10


@pytest.mark.parametrize(("kind", "window"), [(1, WINDOW), (2, LENGTH)])
@pytest.mark.parametrize("length", [1, 4, 5, 6, LENGTH])
def test_attention_sees_its_window(kind: int, window: int, length: int) -> None:
    attention = mixer("gated_delta_net", kind, pattern="[memory, window, attention]", attention=ATTENTION)
    keys = [(token, at) for at, token in enumerate(hidden(length))]
    expected = [attend(attention, keys[at], keys[max(0, at - window + 1) : at + 1]) for at in range(length)]
    assert distance(output(attention, hidden(length)), torch.stack(expected)) < 1e-12
