"""The slots of tiles as kernels number them: in a batch tiles of the same number stand together, packed those of the same sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from .runtime_borders import sequence_numbers


class Slots:
    """The tiles of `tile` tokens of a batch of sequences [B, T], or of packed ones. Packed sequences may have slots without tokens.

    `sequence` [slots] is that of each, `before` [slots] the number of the sequence's tokens before it. `firsts` [sequences + 1] are
    the first tokens of sequences among all B·T, and the end of all; `lengths` [sequences] are the numbers of their tokens.
    """

    def __init__(self, batch: int, tokens: int, tile: int, cu_seqlens: Tensor | None, device: torch.device) -> None:
        self.tile = tile
        if cu_seqlens is None:
            number = (tokens + tile - 1) // tile
            self.firsts = torch.arange(batch + 1, device=device) * tokens
            self.slots, self.step = torch.arange(batch, device=device), batch
            self.sequence = self.slots.repeat(number)
            self.before = (torch.arange(number, device=device) * tile)[:, None].expand(number, batch).flatten()
        else:
            self.firsts = cu_seqlens.long()
            begin = self.firsts // tile + torch.arange(cu_seqlens.shape[0], device=device)  # two sequences never share a slot
            slot = torch.arange(batch * tokens // tile + cu_seqlens.shape[0] - 1, device=device)
            self.slots, self.step = begin[:-1], 1
            self.sequence = sequence_numbers(begin, slot.shape[0])
            self.before = (slot - begin[self.sequence]) * tile
        self.lengths = self.firsts.diff()

    @property
    def last(self) -> Tensor:
        """[sequences]: the slots of the last tiles."""
        return (self.slots + self.step * ((self.lengths + self.tile - 1) // self.tile - 1)).clamp(min=0)
