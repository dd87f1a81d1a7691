"""The three retentions whose rule is written for W itself: W_t, given W_{t−1} and the optimizer's step.

W is [B,H,R,C], or [B,H,V] for a vector, which counts as one column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from miras_compiler.verify.literal.inverse import domain, solve
from miras_compiler.verify.literal.jet import slopes
from miras_compiler.verify.literal.mirror import slice_axes, soft_threshold

SHORTEST = 1e-5
ROUNDS = 200
NEWTON_ROUNDS = 60


def primal_step(retention: Mapping[str, Any], before: Tensor, decayed: Tensor, step: Tensor, eta: Tensor) -> Tensor:
    """W_t from W_{t−1}, alpha_t W_{t−1}, S_t and eta_t; all broadcast against W."""
    match retention["kind"]:
        case "elastic_net":
            return soft_threshold(decayed + step, eta * float(retention["threshold"]))
        case "weight_norm":
            return keep_column_norms(decayed + step, before)
        case "f_divergence":
            return f_divergence_step(retention, before, -step)
    raise NotImplementedError(f"no literal primal retention of kind {retention['kind']}")


def keep_column_norms(x: Tensor, before: Tensor) -> Tensor:
    """X / max(‖X‖, 1e-5) · ‖W_{t−1}‖, per column: norms over the input axis."""
    return x / _column_norm(x).clamp(min=SHORTEST) * _column_norm(before)


def f_divergence_step(retention: Mapping[str, Any], before: Tensor, pull: Tensor) -> Tensor:
    """W_{t−1} ⊙ max(0, (f')⁻¹(−ζ − pull)) with ζ such that every slice sums to its total; pull = eta_t g_t.

    Both are solved numerically. Gradients: with the solution held, one Newton step of both equations together is taken with W_{t−1} and
    pull alive; its derivative is that of the implicit function.
    """
    text, total = retention["generator"], float(retention["total"])
    axes = slice_axes(retention["slice"], before)
    ratio = _ratios(text, before.detach(), pull.detach(), total, axes)
    first, second = slopes(text, "t", ratio)
    alive = ratio > 0
    weight = torch.where(alive, before, torch.zeros_like(before))
    gain = torch.where(alive, 1 / second, torch.zeros_like(second))
    shifted = torch.where(alive, ratio - gain * (first + pull), torch.zeros_like(ratio))
    zeta = ((weight * shifted).sum(axes, keepdim=True) - total) / (weight * gain).sum(axes, keepdim=True)
    return weight * (shifted - gain * zeta)


def _ratios(text: str, weight: Tensor, pull: Tensor, total: float, axes: tuple[int, ...]) -> Tensor:
    """t = max(0, (f')⁻¹(−ζ − pull)) with Σ W t = total per slice."""
    with _disable_current_modes():  # numbers on the way are nobody's
        ratio = _ratios_by_newton(text, weight, pull, total, axes)
        return _ratios_by_bisection(text, weight, pull, total, axes) if ratio is None else ratio


def _ratios_by_newton(text: str, weight: Tensor, pull: Tensor, total: float, axes: tuple[int, ...]) -> Tensor | None:
    """Newton's method on all ratios and ζ together, from 1; None where that does not arrive."""
    _, low, high = domain(text, "t")
    ratio = torch.ones_like(weight)
    close = 1e3 * torch.finfo(weight.dtype).eps
    for _ in range(NEWTON_ROUNDS):
        first, second = slopes(text, "t", ratio)
        weighed = torch.where(ratio > 0, weight, torch.zeros_like(weight))
        zeta = ((weighed * (ratio - (first + pull) / second)).sum(axes, keepdim=True) - total) / (weighed / second).sum(axes, keepdim=True)
        missed = (first + pull + zeta) / second
        if (missed.abs() <= close * ratio.abs().clamp(min=1e-3)).all() and bool(ratio.isfinite().all()):
            return ratio.clamp(min=0)
        ratio = torch.maximum(torch.minimum(ratio - missed, ratio + (high - ratio) / 2), ratio - (ratio - low) * 3 / 4)
    return None


def _ratios_by_bisection(text: str, weight: Tensor, pull: Tensor, total: float, axes: tuple[int, ...]) -> Tensor:
    """ζ by bisection, with Newton steps where they help, (f')⁻¹ solved anew for every ζ; the sum decreases in ζ."""
    start = slopes(text, "t", torch.ones((), dtype=weight.dtype))[0]
    low = -start - pull.amax(axes, keepdim=True) - 1
    high = -start - pull.amin(axes, keepdim=True) + 1

    def ratios(zeta: Tensor, guess: Tensor | None = None) -> Tensor:
        return solve(text, "t", -zeta - pull, guess, lowest=0.0)

    def excess(ratio: Tensor) -> Tensor:
        return (weight * ratio).sum(axes, keepdim=True) - total

    width = torch.ones_like(low)
    for _ in range(ROUNDS):  # until the bracket holds the solution, for weights that sum to something else than the total
        too_low, too_high = excess(ratios(low)) < 0, excess(ratios(high)) > 0
        if not (too_low | too_high).any():
            break
        width = 2 * width
        low, high = torch.where(too_low, low - width, low), torch.where(too_high, high + width, high)
    zeta = (low + high) / 2
    ratio = ratios(zeta)
    close = 1e3 * torch.finfo(weight.dtype).eps
    for turn in range(ROUNDS):
        missed = excess(ratio)
        low, high = torch.where(missed > 0, zeta, low), torch.where(missed > 0, high, zeta)
        slope = torch.where(ratio > 0, weight / slopes(text, "t", ratio)[1], torch.zeros_like(weight)).sum(axes, keepdim=True)
        newton = zeta + missed / slope
        good = (newton >= low) & (newton <= high) & (turn % 4 < 3)  # next to a pole of (f')⁻¹ Newton hardly moves
        settled = (missed.abs() <= close * total) | (high - low <= close * zeta.abs()) | ~missed.isfinite()
        if settled.all():
            break
        zeta = torch.where(settled, zeta, torch.where(good, newton, (low + high) / 2))
        ratio = ratios(zeta, ratio)
    return ratio


def _column_norm(x: Tensor) -> Tensor:
    """‖x‖ over the input axis, kept, with derivative 0 at 0."""
    axis = -2 if x.dim() == 4 else -1
    square = x.square().sum(axis, keepdim=True)
    positive = torch.where(square > 0, square, torch.ones_like(square))
    return torch.where(square > 0, positive.sqrt(), torch.zeros_like(square))
