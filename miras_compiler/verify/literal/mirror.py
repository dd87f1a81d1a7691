"""Mirror maps ψ as docs/mathematics.md §5 prints them, their literal regularizers F, and the test that one is the argmin of the other.

W = ψ(A) must be argmin_W F(W) − ⟨A, W⟩. F is strictly convex, so W is the argmin exactly when it is stationary: ∇F(W) − A is zero, or
constant along every slice that has to sum to `total`. The gradient of F is autograd's. A weight matrix of every head is [B,H,R,C], a vector
[B,H,V], which is one slice. The retentions that carry the primal state have no ψ: theirs is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify.literal.formula_value import formula_value
from miras_compiler.verify.literal.inverse import inverse_derivative

ENTRYWISE = ("sigmoid", "bregman")  # F is a sum over entries
PRIMAL = ("elastic_net", "weight_norm", "f_divergence")
SLICES: dict[str, tuple[int, ...]] = {"input": (-2,), "output": (-1,), "all": (-2, -1)}


def slice_axes(name: str, weight: Tensor) -> tuple[int, ...]:
    """The axes of a weight that a slice of that name runs over."""
    return SLICES[name] if weight.dim() == 4 else (-1,)


def mirror_map(retention: Mapping[str, Any], dual: Tensor, guess: Tensor | None = None) -> Tensor:
    """ψ(A) for one weight of every head; `guess` is where a numerical solution begins."""
    match retention["kind"]:
        case "none" | "l2" | "elastic_net" | "weight_norm" | "f_divergence":
            return dual
        case "kl":
            axes = slice_axes(retention["slice"], dual)
            exponential = torch.exp(dual - dual.amax(axes, keepdim=True))
            return float(retention["total"]) * exponential / exponential.sum(axes, keepdim=True)
        case "sigmoid":
            return torch.sigmoid(dual)
        case "lq":
            q = float(retention["q"])
            p = q / (q - 1)
            return (q - 1) * _signed_power(dual, p - 1) * _norm_power(dual, p, -(p - 2))
        case "lq_printed":
            q = float(retention["q"])
            return dual * _norm_power(dual, q, -(q - 2))
        case "elastic_net_ftrl":
            return soft_threshold(dual, float(retention["threshold"]))
        case "bregman":
            return inverse_derivative(retention["generator"], "w", dual, guess)
    raise NotImplementedError(f"no literal mirror map of kind {retention['kind']}")


def regularizer(retention: Mapping[str, Any], weight: Tensor) -> Tensor | None:
    """F(W) summed over heads (each head's slice by itself), or None where the paper prints a map that is no argmin."""
    match retention["kind"]:
        case "none" | "l2":
            return weight.square().sum() / 2
        case "kl":
            return (weight * weight.log()).sum()
        case "sigmoid":
            return (weight * weight.log() + (1 - weight) * (1 - weight).log()).sum()
        case "lq":
            q = float(retention["q"])
            return (weight.abs().pow(q).sum(slice_axes("all", weight)).pow(2 / q) / (2 * (q - 1))).sum()
        case "lq_printed":
            return None
        case "elastic_net_ftrl":
            return weight.square().sum() / 2 + float(retention["threshold"]) * weight.abs().sum()
        case "bregman":
            return formula_value(retention["generator"], {"w": weight.unsqueeze(-1)}).sum()
    raise NotImplementedError(f"no literal regularizer of kind {retention['kind']}")


def stationarity(retention: Mapping[str, Any], dual: Tensor, weight: Tensor) -> float | None:
    """The distance of W from argmin F − ⟨A, ·⟩: the largest violation of its first-order conditions, relative to the largest |A|.

    None where there is no F. Where F has a corner (elastic net, W = 0) the condition is |A| ≤ λ; where slices have a total, the gradient
    may differ from A by a constant per slice, and the total must be met. Where F is a sum over entries, A must lie between the slopes at
    the floating-point numbers next to W: close to an end of the domain they are far apart.
    """
    slope = _slope(retention, weight)
    if slope is None:
        return None
    weight, dual = weight.detach(), dual.detach()
    violation = slope - dual
    scale = max(1.0, float(dual.abs().max()))
    if retention["kind"] in ENTRYWISE:
        violation = _outside(retention, weight, dual)
    if retention["kind"] == "kl":
        axes, total = slice_axes(retention["slice"], weight), float(retention["total"])
        violation = violation - violation.mean(axes, keepdim=True)
        missing = (weight.sum(axes) - total).abs().max() / total
        return max(float(violation.abs().max()) / scale, float(missing))
    if retention["kind"] == "elastic_net_ftrl":
        threshold = float(retention["threshold"])
        violation = torch.where(weight == 0, torch.relu(dual.abs() - threshold), violation)
    return float(violation.abs().max()) / scale


def _slope(retention: Mapping[str, Any], weight: Tensor) -> Tensor | None:
    """∇F(W)."""
    leaf = weight.detach().requires_grad_()
    value = regularizer(retention, leaf)
    return None if value is None else torch.autograd.grad(value, leaf)[0]


def _outside(retention: Mapping[str, Any], weight: Tensor, dual: Tensor) -> Tensor:
    """The distance of each entry of A from the slopes of F between the numbers next to W; a number outside of the domain has no slope."""
    ends = torch.tensor([-torch.inf, torch.inf], dtype=weight.dtype)
    below, above = (_slope(retention, torch.nextafter(weight, end)) for end in ends)
    assert below is not None
    assert above is not None
    undefined = torch.where(below.isnan() & above.isnan(), torch.inf, 0.0)
    return torch.relu(torch.where(below.isnan(), 0, below - dual)) + torch.relu(torch.where(above.isnan(), 0, dual - above)) + undefined


def soft_threshold(x: Tensor, threshold: Tensor | float) -> Tensor:
    """S_γ(z) = sign(z) max(0, |z| − γ)."""
    return torch.sign(x) * torch.relu(x.abs() - threshold)


def _signed_power(x: Tensor, exponent: float) -> Tensor:
    """sign(x)|x|^exponent, with value and derivative 0 at x = 0 unless the exponent is 1."""
    if exponent == 1:
        return x
    nonzero = torch.where(x == 0, torch.ones_like(x), x)
    return torch.where(x == 0, torch.zeros_like(x), torch.sign(nonzero) * nonzero.abs().pow(exponent))


def _norm_power(x: Tensor, order: float, exponent: float) -> Tensor:
    """‖x‖_order^exponent over one head's weight, [B,H,R,C] → [B,H,1,1]; 0 for a zero weight unless the exponent is 0."""
    if exponent == 0:
        return torch.ones((), dtype=x.dtype)
    total = x.abs().pow(order).sum(slice_axes("all", x), keepdim=True)
    nonzero = torch.where(total == 0, torch.ones_like(total), total)
    return torch.where(total == 0, torch.zeros_like(total), nonzero.pow(exponent / order))
