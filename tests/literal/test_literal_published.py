"""The literal model computes the published recurrences, transcribed by hand in `published`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kit import published
from kit.literal_rules import BEFORE, GD, HEAD, KEY, L2, NONE, SQUARE, rule
from miras_compiler.verify.literal import LiteralModel

B, T, H, K, V, N = 2, 9, 2, 4, 5, 3
DOT = {"kind": "dot_product", "window": None}
ERASES = GD | {"erase_key": True}


def normal(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gate(*size: int, seed: int) -> Tensor:
    return torch.sigmoid(normal(B, T, H, *size, seed=seed))


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()


Q, KEYS, VALUES = normal(B, T, H, K, seed=1), unit(normal(B, T, H, K, seed=2)), normal(B, T, H, V, seed=3)
ALPHA, BETA, CHANNELS = gate(seed=4), 1.5 * gate(seed=5), gate(K, seed=6)
KAPPA, RATE, FEEDBACK = unit(normal(B, T, H, K, seed=7)), gate(K, seed=8), unit(normal(B, T, H, K, seed=9))
GAMMA, A, DT = torch.tensor([0.9, 0.99], dtype=torch.float64), torch.tensor([-0.5, -2.0], dtype=torch.float64), gate(seed=10)
MANY_KEYS, MANY_VALUES, MANY_BETA = (
    unit(normal(B, N * T, H, K, seed=11)),
    normal(B, N * T, H, V, seed=12),
    normal(B, N * T, H, seed=13).sigmoid() * 2,
)
ONE = torch.ones_like(ALPHA)
PER_KEY = {"alpha": KEY, "eta": HEAD}

CASES: dict[str, tuple[dict[str, Any], dict[str, Tensor], Tensor]] = {
    "retnet": (
        rule(attentional_bias=DOT), {"log_alpha": GAMMA.log().expand(B, T, H), "eta": ONE}, published.retnet(Q, KEYS, VALUES, gamma=GAMMA)
    ),
    "gla": (
        rule(attentional_bias=DOT, gates=PER_KEY), {"log_alpha": CHANNELS.log(), "eta": ONE}, published.gla(Q, KEYS, VALUES, alpha=CHANNELS)
    ),
    "mamba2": (rule(attentional_bias=DOT), {"log_alpha": DT * A, "eta": DT}, published.mamba2(Q, KEYS, VALUES, a=A, dt=DT)),
    "delta_net": (
        rule(retention=NONE, gates={"eta": HEAD}), {"eta": BETA}, published.delta_net(Q, KEYS, VALUES, beta=BETA)
    ),
    "gated_delta_net": (
        rule(retention=BEFORE), {"log_alpha": ALPHA.log(), "eta": BETA}, published.gated_delta_net(Q, KEYS, VALUES, alpha=ALPHA, beta=BETA)
    ),
    "kda": (
        rule(retention=BEFORE, gates=PER_KEY), {"log_alpha": CHANNELS.log(), "eta": BETA},
        published.kda(Q, KEYS, VALUES, alpha=CHANNELS, beta=BETA),
    ),
    "rwkv7": (
        rule(retention=L2, gates=PER_KEY, optimizer=ERASES),
        {"log_alpha": CHANNELS.log(), "eta": ONE, "erase_key": KAPPA, "erase_write_key": RATE * KAPPA},
        published.rwkv7(Q, KEYS, VALUES, w=CHANNELS, kappa=KAPPA, a=RATE),
    ),
    "delta_product": (
        rule(retention=BEFORE, optimizer=GD | {"steps": N}), {"log_alpha": ALPHA.log(), "eta": MANY_BETA},
        published.delta_product(Q, MANY_KEYS, MANY_VALUES, alpha=ALPHA, beta=MANY_BETA),
    ),
    "longhorn": (
        rule(retention=NONE, gates={"eta": HEAD}, optimizer={"kind": "implicit"}), {"eta": 3 * BETA},
        published.longhorn(Q, KEYS, VALUES, beta=3 * BETA),
    ),
    "comba": (
        rule(retention=BEFORE, optimizer=ERASES), {"log_alpha": ALPHA.log(), "eta": BETA, "erase_key": FEEDBACK},
        published.comba(Q, KEYS, VALUES, alpha=ALPHA, beta=BETA, p=FEEDBACK),
    ),
    "hgrn2": (
        rule(attentional_bias=DOT, gates=PER_KEY), {"log_alpha": CHANNELS.log(), "eta": ONE}, published.hgrn2(Q, VALUES, alpha=CHANNELS)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_literal_model_computes_the_published_recurrence(name: str) -> None:
    fields, gates, expected = CASES[name]
    keys, values = {"hgrn2": (1 - CHANNELS, VALUES), "delta_product": (MANY_KEYS, MANY_VALUES)}.get(name, (KEYS, VALUES))
    output, _, _ = LiteralModel(fields)(Q, keys, values, gates, {}, {"W": torch.zeros(B, H, K, V, dtype=torch.float64)})
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_an_l2_of_scale_two_erases_and_writes_twice_along_three_keys() -> None:
    fields = rule(retention=BEFORE, optimizer=ERASES, attentional_bias=SQUARE | {"scale": 2.0})
    gates = {"log_alpha": ALPHA.log(), "eta": BETA / 2, "erase_key": FEEDBACK}
    output, _, _ = LiteralModel(fields)(Q, KEYS, VALUES, gates, {}, {"W": torch.zeros(B, H, K, V, dtype=torch.float64)})
    torch.testing.assert_close(output, published.comba(Q, KEYS, VALUES, alpha=ALPHA, beta=BETA, p=FEEDBACK))
