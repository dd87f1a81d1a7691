"""The surprise of one token: ∇_W ℓ by autograd through the literal memory, or the step of three keys as printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify.literal.bias import alive, derivative, has_printed_derivative, loss, norm, slopes
from miras_compiler.verify.literal.carried import Weights, size
from miras_compiler.verify.literal.feature_map import features
from miras_compiler.verify.literal.memory import predict

Fields = Mapping[str, Any]
Measures = tuple[Tensor, Tensor, Tensor]  # ℓ, ‖e‖ and ‖g‖ for the trace, each [B,H]


def surprise_of(
    memory: Fields,
    feature_map: Fields,
    bias: Fields,
    weights: Weights,
    k: Tensor,
    v: Tensor,
    gates: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
) -> tuple[Weights, Measures]:
    """∇_W Σ gamma ℓ over the rows k, v [B,H,M,·], and (ℓ, ‖e‖) of the last row and ‖g‖; gates are rows, too.

    Heads and sequences are independent, so the gradient of the sum is each one's own.
    """
    mapped = features(feature_map, k, parameters)
    gamma = gates.get("gamma", torch.ones_like(k[..., :1]))

    def prediction(w: Weights) -> Tensor:
        return predict(memory, w, mapped, k, parameters)

    with torch.enable_grad():
        own = {name: alive(weight) for name, weight in weights.items()}
        u = prediction(own)
        if has_printed_derivative(bias) or bias.get("clip") is not None:
            surprise = slopes(u, own, gamma * derivative(bias, u, v, gates))
        else:
            surprise = slopes((gamma * loss(bias, u, v, gates)).sum(), own)
    given = (k, v, *weights.values(), *gates.values(), *parameters.values())
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in given)):
        surprise, u = {name: g.detach() for name, g in surprise.items()}, u.detach()
    return surprise, (loss(bias, u, v, gates)[..., -1, 0], norm(u - v)[..., -1, 0], size(surprise))


def step_of_three_keys(bias: Fields, weights: Weights, v: Tensor, k: Tensor, erase: Tensor, along: Tensor) -> tuple[Weights, Measures]:
    """s (bᵀ ⊗ κ W_r − kᵀ ⊗ v) for mapped rows [B,H,1,·] with κ = `erase` and b = `along`, and the measures with κ W_r for u."""
    u = erase @ weights["W"]
    surprise = {"W": float(bias["scale"]) * (along.mT @ u - k.mT @ v)}
    return surprise, (loss(bias, u, v, {})[..., -1, 0], norm(u - v)[..., -1, 0], size(surprise))
