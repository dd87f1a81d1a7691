"""The modules that make the gates of a layer: numbers per token and head, or per token, head and channel.

A module gives the numbers before the gate's parametrization. `start` is their value before training, as Python floats: one number, or one
per head. The inverses of the parametrizations stand below: `InputGate(hidden_size, (heads,), logit(0.9))` starts at a gate of 0.9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_norms import wide


class InputGate(nn.Module):
    """A number per token and entry of `shape`: a projection of x that begins at 0, and a bias that begins at `start`."""

    def __init__(self, hidden_size: int, shape: Sequence[int], start: Sequence[float]) -> None:
        super().__init__()
        self.start = start
        self.weight = nn.Parameter(torch.empty(math.prod(shape), hidden_size))
        self.bias = nn.Parameter(torch.empty(*shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        fill(self.bias, self.start)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, hidden] to [B, T, *shape], in float32 or more."""
        return wide(functional.linear(x, self.weight)).reshape(*x.shape[:2], *self.bias.shape) + self.bias


class LowRankGate(nn.Module):
    """As InputGate, with a projection of x through `rank` numbers."""

    def __init__(self, hidden_size: int, shape: Sequence[int], rank: int, start: Sequence[float]) -> None:
        super().__init__()
        self.start = start
        self.down = nn.Parameter(torch.empty(rank, hidden_size))
        self.up = nn.Parameter(torch.empty(math.prod(shape), rank))
        self.bias = nn.Parameter(torch.empty(*shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.down, std=self.down.shape[1] ** -0.5)
        nn.init.zeros_(self.up)
        fill(self.bias, self.start)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, hidden] to [B, T, *shape], in float32 or more."""
        return wide(functional.linear(functional.linear(x, self.down), self.up)).reshape(*x.shape[:2], *self.bias.shape) + self.bias


class LearnedGate(nn.Module):
    """Learned numbers of `shape`, the same for every token, that begin at `start`."""

    def __init__(self, shape: Sequence[int], start: Sequence[float]) -> None:
        super().__init__()
        self.start = start
        self.value = nn.Parameter(torch.empty(*shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        fill(self.value, self.start)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, *shape] for x [B, T, hidden], in float32 or more."""
        return wide(self.value).expand(*x.shape[:2], *self.value.shape)


class ConstantGate(nn.Module):
    """Fixed numbers of `shape`, the same for every token."""

    value: Tensor

    def __init__(self, shape: Sequence[int], start: Sequence[float]) -> None:
        super().__init__()
        self.start = start
        self.register_buffer("value", torch.empty(*shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        fill(self.value, self.start)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, *shape] for x [B, T, hidden]."""
        return self.value.expand(*x.shape[:2], *self.value.shape)


class DecayRate(nn.Module):
    """The logarithm of a decay, −exp(A) x for numbers x ≥ 0 per token: A is learned, one number per head; exp(A) begins at `start`."""

    def __init__(self, heads: int, start: Sequence[float]) -> None:
        super().__init__()
        self.start = start
        self.A_log = nn.Parameter(torch.empty(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        fill(self.A_log, logarithms(*self.start))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, H, ...] to the same shape, in float32 or more."""
        return -torch.exp(wide(self.A_log)).reshape(-1, *[1] * (x.dim() - 3)) * x


def fill(values: Tensor, start: Sequence[float]) -> None:
    """Sets values [H, ...] to the one number of `start`, or to one per head; no tensor of another dtype or device is made.

    Values that transformers has marked as loaded from a checkpoint stay as they are.
    """
    if getattr(values, "_is_hf_initialized", False):
        return
    with torch.no_grad():
        if len(start) == 1:
            values.fill_(start[0])
        else:
            for row, number in zip(values, start, strict=True):
                row.fill_(number)


def logit(*values: float) -> list[float]:
    """The numbers whose sigmoids these are."""
    return [math.log(value) - math.log1p(-value) for value in values]


def inverse_softplus(*values: float) -> list[float]:
    """The numbers whose softplus these are."""
    return [value + math.log(-math.expm1(-value)) for value in values]


def logarithms(*values: float) -> list[float]:
    """Their logarithms; that of 0 is minus infinity."""
    return [math.log(value) if value > 0 else -math.inf for value in values]


def inverse_tanh(*values: float) -> list[float]:
    """The numbers whose hyperbolic tangents these are."""
    return [math.atanh(value) for value in values]
