"""Several writes per token: tokens as rows, one per write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .runtime_repeated import by_rows, of_row


@dataclass(frozen=True)
class Steps:
    """`number` writes per token. Its query reads the state behind the last of them, or, with `reads_before`, before the first."""

    number: int
    reads_before: bool = False

    def check(self, lengths: dict[str, int]) -> None:
        """k, v and eta have a row per write."""
        if lengths["R"] != self.number * lengths["T"]:
            raise ValueError(f"k: expected {self.number} rows per token, R = {self.number * lengths['T']}, got R = {lengths['R']}")

    def prepare(self, tokens: dict[str, Tensor], parameters: Mapping[str, Tensor], axes: Mapping[str, str]) -> dict[str, Tensor]:
        """Every token tensor with one row per write: decays stand on a token's first row, queries on every row."""
        return {name: x if "R" in axes[name.removesuffix("_features")] else by_rows(name, x, self.number, 1) for name, x in tokens.items()}

    def outputs(self, x: Tensor) -> Tensor:
        """[B, R, ...] to [B, T, ...]: the row that holds the token's output."""
        return of_row(x, self.number, 0, 1) if self.reads_before else self.after(x)

    def after(self, x: Tensor) -> Tensor:
        """[B, R, ...] to [B, T, ...]: the row behind a token's last write."""
        return of_row(x, self.number, self.number - 1, 1)
