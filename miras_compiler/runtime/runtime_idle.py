"""Tokens that leave a memory as it is: with them an operator only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

AT_REST = ("eta", "eta_d")  # step sizes; the logarithm of a decay is 0, too


def idle(axes: Mapping[str, str], q: Tensor, *, value_dim: int, steps: int = 1, window: int = 1) -> dict[str, Any]:
    """Everything but q [N, T, H, K] that an operator takes per token: no keys, no values, no steps, no decay; `axes` by name."""
    rows, tokens, heads, key_dim = q.shape
    lengths = {"B": rows, "T": tokens, "R": steps * tokens, "H": heads, "K": key_dim, "V": value_dim, "W": window}
    found = {}
    for name, letters in axes.items():
        if name != "q":
            at_rest = name in ("k", "v", "erase_key", "erase_write_key", *AT_REST) or name.startswith("log_")
            found[name] = q.new_full([lengths[letter] for letter in letters], 0.0 if at_rest else 1.0)
    return found
