"""A window of one token: its weight is a number per token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class OwnWeight:
    """gamma [B, T, H, 1] is the weight of the token itself."""

    def check(self, lengths: dict[str, int]) -> None:
        """There is one weight."""
        if lengths["W"] != 1:
            raise ValueError(f"gamma: expected one weight, that of the token itself, got {lengths['W']}")

    def prepare(self, tokens: dict[str, Tensor], parameters: Mapping[str, Tensor], axes: Mapping[str, str]) -> dict[str, Tensor]:
        """gamma as a number per token [B, T, H]."""
        return tokens | {"gamma": tokens["gamma"].squeeze(-1)}
