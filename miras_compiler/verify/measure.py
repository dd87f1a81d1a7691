"""How far two tensors are apart, and the worst of many comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def largest_error(actual: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute entry of the reference; absolute where the reference is all zero.

    Infinite for a difference in shape or where one side is not finite.
    """
    if actual.shape != expected.shape:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    difference = float((actual.double() - expected.double()).abs().max())
    scale = float(expected.double().abs().max())
    return difference / (scale or 1.0) if math.isfinite(difference) and math.isfinite(scale) else math.inf


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

    def compare(self, label: str, actual: Tensor, expected: Tensor) -> None:
        self.add(label, largest_error(actual.detach(), expected.detach()))

    def compare_all(self, label: str, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        """Entry by entry; a missing or an additional entry is an infinite error. Integers must be equal."""
        for name in expected.keys() ^ actual.keys():
            self.add(f"{label} {name}: {'missing' if name in expected else 'unexpected'}", math.inf)
        for name in expected.keys() & actual.keys():
            self.compare(f"{label} {name}", actual[name], expected[name])

    def same_bits(self, label: str, actual: Tensor, expected: Tensor) -> None:
        self.require(f"{label}: bits differ", torch.equal(actual, expected) or _same_with_nan(actual, expected))

    def require(self, label: str, holds: bool) -> None:
        self.add("" if holds else label, 0.0 if holds else math.inf)


def _same_with_nan(actual: Tensor, expected: Tensor) -> bool:
    return actual.shape == expected.shape and bool(((actual == expected) | (actual.isnan() & expected.isnan())).all())
