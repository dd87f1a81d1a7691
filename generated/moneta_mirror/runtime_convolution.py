"""The short convolution of a layer, over sequences in a batch or packed into one row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .runtime_borders import sequence_numbers


class ShortConvolution(nn.Module):
    """Depthwise and causal: every channel is a weighted sum of its own last `width` tokens."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform between ±1/√width."""
        bound = len(self.weight) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, past: Tensor | None, cu_seqlens: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [B, T, channels] convolved, in the dtype of x, and the last width − 1 tokens of every sequence [N, width − 1, channels].

        `past` [N, width − 1, channels] are the tokens before x, None is zeros; `cu_seqlens` int32 [N+1] are the borders of sequences
        that lie in one row (B = 1), None is a batch (N = B).
        """
        if cu_seqlens is None:
            return self._convolve_batch(x, past)
        return self._convolve_packed(x, past, cu_seqlens.to(x.device, torch.int64))

    def _convolve_batch(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        past = x.new_zeros(len(x), len(self.weight) - 1, x.shape[-1]) if past is None else past
        line = torch.cat((past, x), 1)
        return self._slide(line).to(x.dtype), line[:, x.shape[1] :].clone()

    def _convolve_packed(self, x: Tensor, past: Tensor | None, borders: Tensor) -> tuple[Tensor, Tensor]:
        """In one line, each sequence behind its own past: no window reaches into a neighbour."""
        lead, sequences = len(self.weight) - 1, len(borders) - 1
        past = x.new_zeros(sequences, lead, x.shape[-1]) if past is None else past
        place = torch.arange(x.shape[1], device=x.device) + lead * (sequence_numbers(borders, x.shape[1]) + 1)
        window = lead * torch.arange(sequences, device=x.device)[:, None] + torch.arange(lead, device=x.device)
        before, last = borders[:-1, None] + window, borders[1:, None] + window
        line = x.new_zeros(x.shape[1] + lead * sequences, x.shape[-1])
        line = line.index_copy(0, place, x[0]).index_copy(0, before.flatten(), past.flatten(0, 1).to(x.dtype))
        return self._slide(line[None])[:, place - lead].to(x.dtype), line[last]

    def _slide(self, line: Tensor) -> Tensor:
        """[N, S, channels] to [N, S − width + 1, channels]: the weighted sum of every window."""
        width = len(self.weight)
        length = line.shape[1] - width + 1
        y = self.weight[0] * line[:, :length]
        for lag in range(1, width):
            y = y + self.weight[lag] * line[:, lag : lag + length]
        return y
