"""How far two tensors are apart, and the worst of many comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

ROUNDED = 1e-5  # a tensor this much smaller than its companions is measured against them: it may be nothing but their rounding


def largest_error(actual: Tensor, expected: Tensor, least_scale: float = 0.0) -> float:
    """Largest absolute difference over the largest absolute entry of the reference; absolute where the reference is all zero.

    A scale below `least_scale` is that. Infinite for a difference in shape or where one side is not finite.
    """
    if actual.shape != expected.shape:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    difference = float((actual.double() - expected.double()).abs().max())
    scale = max(_largest(expected), least_scale)
    return difference / (scale or 1.0) if math.isfinite(difference) and math.isfinite(scale) else math.inf


def _largest(x: Tensor) -> float:
    return float(x.detach().double().abs().max()) if x.numel() else 0.0


def rms_error(actual: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of the reference; infinite for a difference in shape or a value that is not finite."""
    if actual.shape != expected.shape:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    difference = float((actual.double() - expected.double()).square().mean().sqrt())
    scale = float(expected.double().square().mean().sqrt())
    return difference / (scale or 1.0) if math.isfinite(difference) and math.isfinite(scale) else math.inf


class Tally:
    """Collects comparisons and remembers the worst error and its label."""

    def __init__(self) -> None:
        self.error = 0.0
        self.worst = ""
        self.count = 0
        self.remarks: list[str] = []
        self.not_run = ""  # why nothing could be tried here

    def add(self, label: str, error: float) -> None:
        self.count += 1
        if not error <= self.error or not self.worst:
            self.error, self.worst = (error if not math.isnan(error) else math.inf), label

    def compare(self, label: str, actual: Tensor, expected: Tensor, least_scale: float = 0.0) -> None:
        self.add(label, largest_error(actual.detach(), expected.detach(), least_scale))

    def compare_all(self, label: str, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        """Entry by entry; a missing or an additional entry is an infinite error. Integers must be equal."""
        scales = [scale for scale in map(_largest, expected.values()) if math.isfinite(scale)]
        least_scale = ROUNDED * max(scales, default=0.0)
        for name in expected.keys() ^ actual.keys():
            self.add(f"{label} {name}: {'missing' if name in expected else 'unexpected'}", math.inf)
        for name in expected.keys() & actual.keys():
            self.compare(f"{label} {name}", actual[name], expected[name], least_scale)

    def same_bits(self, label: str, actual: Tensor, expected: Tensor) -> None:
        self.require(f"{label}: bits differ", torch.equal(actual, expected) or _same_with_nan(actual, expected))

    def require(self, label: str, holds: bool) -> None:
        self.add("" if holds else label, 0.0 if holds else math.inf)


def _same_with_nan(actual: Tensor, expected: Tensor) -> bool:
    return actual.shape == expected.shape and bool(((actual == expected) | (actual.isnan() & expected.isnan())).all())
