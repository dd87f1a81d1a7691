"""The short convolution of a layer, and the row of the token before, over sequences in a batch or packed into one row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_borders import sequence_numbers

Weigh = Callable[[Tensor], Tensor]


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
        return slide(x, past, len(self.weight) - 1, cu_seqlens, self._weigh)

    def _weigh(self, line: Tensor) -> Tensor:
        """[N, S, channels] to [N, S − width + 1, channels]: the weighted sum of every window."""
        width = len(self.weight)
        length = line.shape[1] - width + 1
        if length == 1:  # decoding
            return (self.weight * line).sum(1, keepdim=True)
        y = self.weight[0] * line[:, :length]
        for lag in range(1, width):
            y = y + self.weight[lag] * line[:, lag : lag + length]
        return y


def lagged(x: Tensor, past: Tensor | None, cu_seqlens: Tensor | None) -> tuple[Tensor, Tensor]:
    """The row x [B, T, H, D] of the token before, 0 before the first of a sequence; and the last of every sequence [N, 1, H · D].

    `past` and `cu_seqlens` are those of a convolution over two tokens.
    """
    before, last = slide(x.flatten(2), past, 1, cu_seqlens, lambda line: line[:, :-1])
    return before.reshape(x.shape), last


def slide(x: Tensor, past: Tensor | None, lead: int, cu_seqlens: Tensor | None, weigh: Weigh) -> tuple[Tensor, Tensor]:
    """A window of lead + 1 tokens over x [B, T, channels]: the results of `weigh`, and the last `lead` tokens of every sequence.

    `weigh` maps a line [N, S, channels] to its windows [N, S − lead, channels].
    """
    if cu_seqlens is None:
        line = functional.pad(x, (0, 0, lead, 0)) if past is None else torch.cat((past, x), 1)
        return weigh(line).to(x.dtype), line[:, x.shape[1] :].clone()
    return _slide_packed(x, past, lead, cu_seqlens.to(x.device, torch.int64), weigh)


def _slide_packed(x: Tensor, past: Tensor | None, lead: int, borders: Tensor, weigh: Weigh) -> tuple[Tensor, Tensor]:
    """In one line, each sequence behind its own past: no window reaches into a neighbour."""
    sequences = borders.shape[0] - 1
    past = x.new_zeros(sequences, lead, x.shape[-1]) if past is None else past
    place = torch.arange(x.shape[1], device=x.device) + lead * (sequence_numbers(borders, x.shape[1]) + 1)
    window = lead * torch.arange(sequences, device=x.device)[:, None] + torch.arange(lead, device=x.device)
    before, last = borders[:-1, None] + window, borders[1:, None] + window
    line = x.new_zeros(x.shape[1] + lead * sequences, x.shape[-1])
    line = line.index_copy(0, place, x[0]).index_copy(0, before.flatten(), past.flatten(0, 1).to(x.dtype))
    return weigh(line[None])[:, place - lead].to(x.dtype), line[last]
