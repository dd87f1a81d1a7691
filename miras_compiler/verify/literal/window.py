"""The Omega rule's window: the last c − 1 tokens, which this token's surprise measures again.

In the state: `window_k` [B,H,c−1,K], `window_v` [B,H,c−1,V] and `window_<gate>` for every gate that the loss reads, oldest token first, and
`window_length` [B] (int64): how many of the slots, from the newest on, hold tokens. The others hold zeros. Without these entries the window
is empty; with c = 1 there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Rows = dict[str, Tensor]


class LiteralWindow(NamedTuple):
    """`rows`: k, v and the loss's gates by name, each [B,H,c−1,·], a gate per head as [B,H,c−1,1]."""

    rows: Rows
    length: Tensor


def enter_window(state: Mapping[str, Tensor], token: Rows, slots: int) -> LiteralWindow:
    """The window in a state, or an empty one; `token` [B,H,1,·] gives the entries and the width of a window."""
    if "window_length" not in state:
        empty = {name: row.new_zeros(*row.shape[:2], slots, row.shape[3]) for name, row in token.items()}
        return LiteralWindow(empty, torch.zeros(token["k"].shape[0], dtype=torch.int64))
    return LiteralWindow({name: _with_channel(state[f"window_{name}"], name) for name in token}, state["window_length"])


def leave_window(window: LiteralWindow) -> dict[str, Tensor]:
    """The entries of the state; a gate per head has no channel axis."""
    rows = {f"window_{name}": row if name in ("k", "v") or row.shape[3] > 1 else row[..., 0] for name, row in window.rows.items()}
    return {**rows, "window_length": window.length}


def look_back(window: LiteralWindow, token: Rows, gamma: Tensor) -> Rows:
    """The c rows of this token's surprise, oldest first, and as `gamma` [B,H,c,1] their weights.

    gamma [B,H,c] is the token's own: its entry l weighs the token l steps back. An empty slot repeats the token with weight 0.
    """
    slots = gamma.shape[-1] - 1
    filled = torch.arange(slots) >= slots - window.length[:, None]
    filled = filled[:, None, :, None]
    rows = {name: torch.cat((torch.where(filled, window.rows[name], row), row), 2) for name, row in token.items()}
    weight = gamma.flip(-1).unsqueeze(-1)
    return {**rows, "gamma": torch.cat((torch.where(filled, weight[:, :, :-1], torch.zeros_like(weight[:, :, :-1])), weight[:, :, -1:]), 2)}


def push(window: LiteralWindow, token: Rows) -> LiteralWindow:
    """The window of the next token."""
    slots = window.rows["k"].shape[2]
    rows = {name: torch.cat((window.rows[name][:, :, 1:], row), 2) for name, row in token.items()}
    return LiteralWindow(rows, (window.length + 1).clamp(max=slots))


def _with_channel(entry: Tensor, name: str) -> Tensor:
    return entry if name in ("k", "v") or entry.dim() == 4 else entry.unsqueeze(-1)
