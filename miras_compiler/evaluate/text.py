"""The loss of a language model on a text: bits per byte, perplexity by position, lengths beyond those of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from miras_compiler.errors import InputError
from miras_compiler.evaluate.losses import next_token_losses, rows_at_once

FACTORS = (1, 2, 4, 8)  # lengths that are tried, in lengths of training

Nats = NDArray[np.float64]


@dataclass
class ByPosition:
    """Sums of losses by their position, the number of tokens before a token, in bins [2ⁿ, 2ⁿ⁺¹)."""

    sums: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, losses: Nats, first: int) -> None:
        """Losses [B, T] of tokens at positions first, first + 1, …, each at least 1."""
        bins = np.floor(np.log2(np.arange(first, first + losses.shape[1]))).astype(int)
        for number in np.unique(bins):
            part = losses[:, bins == number]
            self.sums[2**number] = self.sums.get(2**number, 0.0) + float(part.sum())
            self.counts[2**number] = self.counts.get(2**number, 0) + part.size

    def mean(self) -> float:
        """Nats per token; InputError where they are no number."""
        mean = sum(self.sums.values()) / sum(self.counts.values())
        if not math.isfinite(mean):
            raise InputError(
                "the model's losses are not numbers; its weights are bad, or overflow at this length: name an earlier checkpoint"
            )
        return mean

    def perplexities(self) -> dict[str, float]:
        """By the first position of each bin."""
        return {str(start): perplexity(self.sums[start] / self.counts[start]) for start in sorted(self.sums)}


def evaluate_text(
    model: Any, tokens: Sequence[int] | NDArray[Any], size: int, length: int, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:  # fmt: skip
    """Scores on `tokens` of a text of `size` bytes, in sequences of `length` tokens that each begin with nothing.

    `bits_per_byte` are the bits per token, without the first of a sequence, times tokens per byte. `extrapolation` has them at one, two,
    four, eight times the length, where the text is that long, and perplexity by position at the longest.
    """
    stream = torch.as_tensor(tokens, dtype=torch.int64)
    lengths = [factor * length for factor in FACTORS if factor * length <= len(stream)]
    if not lengths:
        raise InputError(f"the text has {len(stream):,} tokens, fewer than a sequence of {length:,}; name a longer text, or set --length")
    found = {}
    for each in lengths:
        say(f"sequences of {each:,} tokens")
        found[each] = losses_by_position(model, stream, each)
    own = found[lengths[0]]
    bits = {each: found[each].mean() / math.log(2) * len(stream) / size for each in lengths}
    scores: dict[str, Any] = {
        "bits_per_byte": bits[lengths[0]],
        "perplexity": perplexity(own.mean()),
        "tokens": len(stream),
        "bytes": size,
        "length": length,
        "perplexity_by_position": own.perplexities(),
    }
    if len(lengths) > 1:
        scores["extrapolation"] = {
            "bits_per_byte_by_length": {str(each): value for each, value in bits.items()},
            "perplexity_by_position": found[lengths[-1]].perplexities(),
        }
    return scores


def losses_by_position(model: Any, stream: torch.Tensor, length: int) -> ByPosition:
    """Over the whole sequences of that length."""
    rows = stream[: len(stream) // length * length].reshape(-1, length)
    device = next(model.parameters()).device
    sums = ByPosition()
    for part in torch.split(rows, rows_at_once(model, length)):
        sums.add(next_token_losses(model, part.to(device)).double().cpu().numpy(), 1)
    return sums


def perplexity(nats: float) -> float:
    """exp, of at most 700: a number in any case."""
    return math.exp(min(nats, 700.0))
