"""Memories as functions: M(W; x) for one token of every head, and the shapes of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

NORM_EPSILON = 1e-6

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "identity": lambda x: x,
}


def weight_shapes(memory: Mapping[str, Any], key_features: int, value_width: int, key_width: int) -> dict[str, tuple[int, ...]]:
    """Rows and columns of every weight matrix, or the length of a vector; a hidden layer is `expansion` times the key width."""
    hidden = memory.get("expansion", 1) * key_width
    match memory["kind"]:
        case "vector":
            return {"W": (value_width,)}
        case "matrix":
            return {"W": (key_features, value_width)}
        case "mlp":
            widths = [key_features, *[hidden] * (memory["layers"] - 1), value_width]
            return {f"W{i + 1}": (widths[i], widths[i + 1]) for i in range(memory["layers"])}
        case "swiglu":
            return {"W1": (key_features, hidden), "W2": (hidden, value_width), "W3": (key_features, hidden)}
    raise NotImplementedError(f"no literal memory of kind {memory['kind']}")


def predict(
    memory: Mapping[str, Any], weights: Mapping[str, Tensor], features: Tensor, row: Tensor, parameters: Mapping[str, Tensor]
) -> Tensor:
    """M(W; φ(x)): features φ(x) [B,H,Kφ], the raw row x [B,H,K] for the residual, weights [B,H,·,·] → [B,H,V].

    Several rows at the same weights are [B,H,M,·] each.
    """
    f = _body(memory, weights, features)
    if memory["norm"] == "layer":
        centered = f - f.mean(-1, keepdim=True)
        f = centered / torch.sqrt(centered.square().mean(-1, keepdim=True) + NORM_EPSILON)
    elif memory["norm"] == "rms":
        f = f / torch.sqrt(f.square().mean(-1, keepdim=True) + NORM_EPSILON)
    if memory["norm"] != "none":
        scale, shift = parameters["ln_weight"], parameters["ln_bias"]
        f = f * scale.unsqueeze(-2) + shift.unsqueeze(-2) if features.dim() == 4 else f * scale + shift
    return row + f if memory["residual"] else f


def _body(memory: Mapping[str, Any], weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    match memory["kind"]:
        case "vector":
            return x * (weights["W"].unsqueeze(-2) if x.dim() == 4 else weights["W"])
        case "matrix":
            return _product(x, weights["W"])
        case "mlp":
            activation = ACTIVATIONS[memory["activation"]]
            for layer in range(1, memory["layers"]):
                x = activation(_product(x, weights[f"W{layer}"]))
            return _product(x, weights[f"W{memory['layers']}"])
        case "swiglu":
            gated = functional.silu(_product(x, weights["W1"])) * _product(x, weights["W3"])
            return _product(gated, weights["W2"])
    raise NotImplementedError(f"no literal memory of kind {memory['kind']}")


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """Rows times matrix, per batch entry and head: [B,H,R] (or [B,H,M,R]) and [B,H,R,C] → [B,H,C] (or [B,H,M,C])."""
    return x @ weight if x.dim() == 4 else (x.unsqueeze(-2) @ weight).squeeze(-2)
