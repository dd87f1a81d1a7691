"""Attentional biases: the loss ℓ(u, v) as printed, and ∂ℓ/∂u for the two kinds whose printed derivative is the gradient of nothing.

Rows e = u − v are [B,H,V]; losses are [B,H,1]. At e = 0 the singular formulas are 0, and so is every derivative taken through them.
A gate is one number per token and head, [B,H], or a row, with as many dimensions as u: [B,H,1] or [B,H,V].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from miras_compiler.verify.literal.formula_value import formula_value

SMOOTH_EPSILON = 1e-6


def loss(bias: Mapping[str, Any], u: Tensor, v: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
    """ℓ(u, v) per token and head, [B,H,V] → [B,H,1]."""
    e = u - v
    gates = _rows(gates, u)
    match bias["kind"]:
        case "dot_product":
            return -_sum(u * v)
        case "l2":
            return float(bias["scale"]) / 2 * _sum(e.square())
        case "lp":
            return _sum(_magnitude_power(e, float(bias["p"])))
        case "huber":
            return _sum(_huber(e.abs(), e.square(), _threshold(bias["delta"], gates)))
        case "huber_norm":
            return _huber(norm(e), _sum(e.square()), _threshold(bias["delta"], gates))
        case "yaad_switch":
            delta = _threshold(bias["delta"], gates)
            return torch.where(norm(e) <= delta, float(bias["scale"]) / 2 * _sum(e.square()), delta * _sum(e.abs()))
        case "robust_shift":
            shift = float(bias["shift"])
            return _sum(e.square()) / 2 + shift * norm(e) + shift**2 / 2
        case "kl":
            target = torch.softmax(v, -1)
            return _sum(target * (torch.log_softmax(v, -1) - torch.log_softmax(u, -1)))
        case "log_cosh":
            return _sum(e + functional.softplus(-2 * e, threshold=50) - math.log(2))  # no overflow
        case "epsilon_insensitive":
            return _sum(torch.relu(e.abs() - float(bias["epsilon"])))
        case "formula":
            return formula_value(bias["loss"], {"u": u, "v": v, **gates})
    raise NotImplementedError(f"no literal attentional bias of kind {bias['kind']}")


def has_printed_derivative(bias: Mapping[str, Any]) -> bool:
    """True if the paper prints a ∂ℓ/∂u that no loss has; otherwise the loss is to be differentiated."""
    return bias["kind"] == "yaad_switch" or (bias["kind"] == "lp" and bool(bias["smooth"]))


def printed_derivative(bias: Mapping[str, Any], u: Tensor, v: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
    """∂ℓ/∂u [B,H,V] as printed, for the kinds of `has_printed_derivative`."""
    e = u - v
    gates = _rows(gates, u)
    if bias["kind"] == "yaad_switch":
        delta = _threshold(bias["delta"], gates)
        return torch.where(norm(e) <= delta, float(bias["scale"]) * e, delta * torch.sign(e))
    p, slope = float(bias["p"]), float(bias["slope"])
    return p * torch.tanh(slope * e) * (e.square() + SMOOTH_EPSILON).pow((p - 1) / 2)


def derivative(bias: Mapping[str, Any], u: Tensor, v: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
    """∂ℓ/∂u [B,H,V]: as printed or as autograd makes it of the loss; no longer than `clip`, where the bias has one."""
    if has_printed_derivative(bias):
        slope = printed_derivative(bias, u, v, gates)
    else:
        with torch.enable_grad():
            row = alive(u)
            slope = slopes(loss(bias, row, v, gates).sum(), {"u": row})["u"]
        if not (torch.is_grad_enabled() and any(x.requires_grad for x in (u, v, *gates.values()))):
            slope = slope.detach()
    if bias.get("clip") is None:
        return slope
    length, longest = norm(slope), float(bias["clip"])
    long = length > longest
    return torch.where(long, slope * longest / torch.where(long, length, torch.ones_like(length)), slope)


def alive(x: Tensor) -> Tensor:
    """x with a derivative of its own, and with that of its arguments."""
    return x.view_as(x) if x.requires_grad else x.detach().requires_grad_()


def slopes(of: Tensor, to: Mapping[str, Tensor], along: Tensor | None = None) -> dict[str, Tensor]:
    """∂⟨of, along⟩/∂ every tensor of `to`, differentiable again; 0 where nothing depends on one."""
    gradients = torch.autograd.grad(of, list(to.values()), along, create_graph=True, materialize_grads=True)
    return dict(zip(to, gradients, strict=True))


def norm(e: Tensor) -> Tensor:
    """‖e‖ of each row, [..., V] → [..., 1], with derivative 0 where its square is 0 or below the normal numbers."""
    square = _sum(e.square())
    normal = square > torch.finfo(e.dtype).tiny
    return torch.where(normal, torch.where(normal, square, torch.ones_like(square)).sqrt(), torch.zeros_like(square))


def _huber(size: Tensor, square: Tensor, delta: Tensor | float) -> Tensor:
    return torch.where(size <= delta, square / 2, delta * (size - delta / 2))


def _magnitude_power(e: Tensor, p: float) -> Tensor:
    if p % 2 == 0:
        return e.pow(int(p))
    nonzero = torch.where(e == 0, torch.ones_like(e), e)
    return torch.where(e == 0, torch.zeros_like(e), nonzero.abs().pow(p))


def _threshold(field: object, gates: Mapping[str, Tensor]) -> Any:
    """A field that is a number or a gate's name, as something that broadcasts against [B,H,V]."""
    return gates[field] if isinstance(field, str) else float(field)  # type: ignore[arg-type]


def _rows(gates: Mapping[str, Tensor], u: Tensor) -> dict[str, Tensor]:
    return {name: gate if gate.dim() == u.dim() else gate.unsqueeze(-1) for name, gate in gates.items()}


def _sum(row: Tensor) -> Tensor:
    return row.sum(-1, keepdim=True)
