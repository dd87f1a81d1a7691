"""The distance of two tensors, and the worst of many comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

MARGIN = 64.0  # operations of about one rounding each that a way to compute a result may take more than another
ROUNDED = 1e-5  # a tensor this much smaller than its companions is measured against them: it may be nothing but their rounding
NOTHING = 1e-14  # a tensor this much smaller, where another model has an exact 0, may be the rounding of a sum that is 0


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


def rms_error(actual: Tensor, expected: Tensor, least_scale: float = 0.0) -> float:
    """Root mean square of the difference over that of the reference; infinite for a difference in shape or a value that is not finite.

    A scale below `least_scale` is that.
    """
    if actual.shape != expected.shape:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    difference = float((actual.double() - expected.double()).square().mean().sqrt())
    scale = max(float(expected.double().square().mean().sqrt()), least_scale)
    return difference / (scale or 1.0) if math.isfinite(difference) and math.isfinite(scale) else math.inf


def fits_float32(x: Tensor) -> bool:
    """True if every entry is a number of float32."""
    return bool(x.detach().float().isfinite().all())


def least_scale_of(tensors: Mapping[str, Tensor], share: float = ROUNDED) -> float:
    """The scale against which the smallest of several tensors are measured: a share of the largest."""
    scales = [scale for scale in map(_largest, tensors.values()) if math.isfinite(scale)]
    return share * max(scales, default=0.0)


class Tally:
    """Collects comparisons and remembers the worst error and its label.

    Where a comparison misses `limit` and the inputs that it is `about` are known, the limit of that tensor is MARGIN times as much as the
    literal model's own result changes when every number on its way changes in its last bit: no two ways to compute it agree better. Its
    error is entered in proportion, and a remark says so.
    """

    def __init__(self, limit: float = 0.0) -> None:
        self.limit = limit
        self.rounding: Callable[[], Mapping[str, float]] | None = None
        self.error = 0.0
        self.worst = ""
        self.count = 0
        self.remarks: list[str] = []
        self.not_run = ""  # why nothing could be tried here
        self.exploded = False  # a comparison failed because the rule itself left float32

    def add(self, label: str, error: float) -> None:
        self.count += 1
        if not error <= self.error or not self.worst:
            self.error, self.worst = (error if not math.isnan(error) else math.inf), label

    def about(self, rounding: Callable[[], Mapping[str, float]] | None) -> None:
        """Says that the next comparisons are of inputs for which `rounding` gives the effect of rounding on every tensor."""
        self.rounding = rounding

    def compare(self, label: str, actual: Tensor, expected: Tensor, least_scale: float = 0.0, entry: str = "o") -> None:
        error = largest_error(actual.detach(), expected.detach(), least_scale)
        self.blame(error, expected)
        self.weigh(label, error, entry)

    def blame(self, error: float, expected: Tensor) -> None:
        """Remembers where an infinite error is the rule's own: the expected result is beyond float32."""
        self.exploded |= not math.isfinite(error) and not fits_float32(expected)

    def compare_all(self, label: str, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        """Entry by entry; a missing or an additional entry is an infinite error. Integers must be equal."""
        least_scale = least_scale_of(expected)
        for name in expected.keys() ^ actual.keys():
            self.add(f"{label} {name}: {'missing' if name in expected else 'unexpected'}", math.inf)
        kind = label.rsplit(maxsplit=1)[-1]
        for name in expected.keys() & actual.keys():
            self.compare(f"{label} {name}", actual[name], expected[name], least_scale, f"{kind} {name}")

    def weigh(self, label: str, error: float, entry: str) -> None:
        """An error, in proportion to the limit of this entry of the result. One that is not the worst in any case is not measured."""
        if error <= max(self.limit, self.error) or not math.isfinite(error) or self.rounding is None or not self.limit:
            self.add(label, error)
            return
        allowed = max(self.limit, MARGIN * self.rounding().get(entry, 0.0))
        if allowed > self.limit and error <= allowed:
            self.remark(f"rounding alone moves {entry} by {allowed / MARGIN:.0e}")
        self.add(f"{label}: {error:.1e} of {allowed:.1e}", error * self.limit / allowed)

    def take(self, other: Tally) -> None:
        """All that another one has collected."""
        self.count += other.count - 1
        self.exploded |= other.exploded
        self.add(other.worst, other.error)
        for text in other.remarks:
            self.remark(text)

    def remark(self, text: str) -> None:
        """A remark, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def same_bits(self, label: str, actual: Tensor, expected: Tensor) -> None:
        self.require(f"{label}: bits differ", torch.equal(actual, expected) or _same_with_nan(actual, expected))

    def require(self, label: str, holds: bool) -> None:
        self.add("" if holds else label, 0.0 if holds else math.inf)


def _same_with_nan(actual: Tensor, expected: Tensor) -> bool:
    return actual.shape == expected.shape and bool(((actual == expected) | (actual.isnan() & expected.isnan())).all())
