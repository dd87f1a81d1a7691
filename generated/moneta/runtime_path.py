"""The decay since a chunk began, log β, of memories whose reads follow a linear path from the chunk's start."""

from __future__ import annotations

import torch
from torch import Tensor

from .runtime_borders import sequence_numbers
from .runtime_chunk import LEAST, chosen


def decay_in_progress(
    log_alpha: Tensor, given: Tensor, position: Tensor, end: Tensor, chunk: int, cu_seqlens: Tensor | None
) -> Tensor:  # fmt: skip
    """log β [N, H, ...] behind the last token: the sum of log α [B, T, H, ...] over the chunk in progress; 0 where a chunk ended there.

    `position` and `end` [N] count the tokens since a chunk began, before this call's and behind them; `given` is the sum before this call.
    """
    begin = end - end % chunk - position  # the first token of the chunk in progress, among those of this call
    decay = log_alpha.clamp(min=LEAST).float()
    token = torch.arange(log_alpha.shape[1], device=log_alpha.device)
    if cu_seqlens is None:
        counts = token >= begin[:, None]
        found = torch.where(counts.reshape(*counts.shape, *[1] * (decay.dim() - 2)), decay, 0.0).sum(1)
    else:
        number = sequence_numbers(cu_seqlens, token.shape[0])
        counts = (token - cu_seqlens[number] >= begin[number]) & (token < cu_seqlens[-1])
        rows = torch.where(counts.reshape(-1, *[1] * (decay.dim() - 2)), decay[0], 0.0)
        found = torch.zeros_like(given).index_add(0, number, rows)
    goes_on = (position > 0) & (end < chunk)
    return found + chosen(goes_on, given, 0.0)
