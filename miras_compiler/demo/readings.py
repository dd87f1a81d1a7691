"""A reading, and the claim that the readings must bear out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

MEASURES = ("ℓ", "‖e‖", "‖g‖")


@dataclass
class PassageReading:
    """One passage read once: its measures ℓ, ‖e‖ and ‖g‖ of every token so far, in pieces of shape `[3, tokens]`."""

    title: str
    fresh: bool
    pieces: list[Tensor] = field(default_factory=list)

    def curve(self, measure: int) -> list[float]:
        """One measure, token by token."""
        return torch.cat([piece[measure] for piece in self.pieces]).tolist() if self.pieces else []

    def mean(self, measure: int) -> float | None:
        """The mean of one measure over the tokens read so far; None before the first."""
        curve = self.curve(measure)
        return sum(curve) / len(curve) if curve else None


@dataclass(frozen=True)
class Judgement:
    """The verdict on the claim, and the sentence that says so with its numbers."""

    holds: bool
    sentence: str


def judge(errors: Sequence[float], fresh: float) -> Judgement:
    """The claim: the mean error falls with every reading of a passage, and on a fresh passage it is nearer to the first than to the last.

    `errors` are the mean ‖e‖ of the readings in order, `fresh` that of the control.
    """
    course = " > ".join(f"{error:.3f}" for error in errors)
    for number, (before, after) in enumerate(pairwise(errors), start=2):
        if not after < before:
            return Judgement(False, f"the error did not fall at reading {number}: {before:.3f}, then {after:.3f}")
    if not fresh > (errors[0] + errors[-1]) / 2:
        return Judgement(
            False, f"the error fell ({course}), but on the fresh passage, too: {fresh:.3f}; this would be no memory of the passage"
        )
    return Judgement(True, f"the error falls with every reading ({course}) and not on the fresh passage ({fresh:.3f})")
