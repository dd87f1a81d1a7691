"""Gates of one token: which are decays, and how a gate per head, key channel or value channel acts on a weight."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

LOWEST_LOG_DECAY = -60.0
DECAYS = ("alpha", "alpha_value", "alpha_d", "mu")  # passed as logarithms
ERASE_KEYS = ("erase_key", "erase_write_key")
PER_WRITE = ("eta", *ERASE_KEYS)  # these, k and v have `steps` rows per token

REACHES: dict[str | None, tuple[float, float | None]] = {
    "sigmoid": (0, 1),
    "2*sigmoid": (0, 2),
    "tanh": (-1, 1),
}


def gate_keyword(name: str) -> str:
    """Decays are passed as logarithms."""
    return f"log_{name}" if name in DECAYS else name


def inside(gate: Mapping[str, Any], draw: Tensor) -> Tensor:
    """Values of order 1 from draws between 0 and 1, in the range that the spec declares for a gate."""
    low, high = gate.get("range") or REACHES.get(gate.get("parametrization", ""), (0, None))
    return low + 0.3 + 1.2 * draw if high is None else low + (high - low) * (0.1 + 0.8 * draw)


def log_decay(gates: Mapping[str, Tensor], name: str) -> Tensor:
    """log alpha and the like; below −60 it is −60."""
    return gates[f"log_{name}"].clamp(min=LOWEST_LOG_DECAY)


def on_weight(gate: Tensor, per: str, dimensions: int) -> Tensor:
    """A gate [B,H] or [B,H,channels] against a weight of so many dimensions: [B,H,R,C] (key channels are rows) or [B,H,V]."""
    if per == "head":
        return gate.reshape(*gate.shape, *[1] * (dimensions - gate.dim()))
    if dimensions == 3:
        return gate
    return gate.unsqueeze(-1) if per == "key_channel" else gate.unsqueeze(-2)


def off_weight(gate: Tensor, per: str) -> Tensor:
    """The other way."""
    if per == "head":
        return gate.reshape(gate.shape[:2])
    if gate.dim() == 3:
        return gate
    return gate.squeeze(-1 if per == "key_channel" else -2)


def loss_gates(bias: Mapping[str, Any], declared: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the gates that the loss reads: a threshold, or the names in a formula."""
    if bias["kind"] == "formula":
        names = {node.id for node in ast.walk(ast.parse(bias["loss"].strip(), mode="eval")) if isinstance(node, ast.Name)}
        return tuple(sorted(names & declared.keys()))
    return (bias["delta"],) if isinstance(bias.get("delta"), str) else ()


def as_row(gate: Tensor) -> Tensor:
    """A gate of the loss, [B,H] or [B,H,V], as one row of each head: [B,H,1,1] or [B,H,1,V]."""
    return gate[..., None, None] if gate.dim() == 2 else gate.unsqueeze(-2)


def preconditioner_gain(preconditioner: Tensor) -> Tensor:
    """m = exp(−ln 1.5 · r/(1 + |r|)), r = ln(D + 1e-6) + 0.2."""
    r = torch.log(preconditioner + 1e-6) + 0.2
    return 1.5 ** (-r / (1 + r.abs()))
