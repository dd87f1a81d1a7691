"""The blocks of a model: norm, mixer, norm, MLP, around a residual stream."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_cache import LayerCache
from .runtime_layer import TokenMixer
from .runtime_norms import rms_norm
from .runtime_precision import autocast_type
from .runtime_sequences import Sequences
from .runtime_transformers import GradientCheckpointingLayer


class RMSNorm(nn.Module):
    """x divided by its root mean square, times learned numbers; in the dtype of x, or in that of the products that read it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, operand_type(x))


def operand_type(x: Tensor) -> torch.dtype:
    """The type in which products read x: that of autocast, where it is on, so that x is rounded once and not for every product."""
    rounded = autocast_type(x.device) if x.dtype == torch.float32 else None
    return x.dtype if rounded is None else rounded


class SwiGLU(nn.Module):
    """W₂(silu(W₁x) ⊙ W₃x)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return y


class Block(GradientCheckpointingLayer):
    """x + mixer(norm x), then x + MLP(norm x)."""

    def __init__(self, mixer: nn.Module, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = RMSNorm(hidden_size), mixer
        if intermediate_size:
            self.mlp_norm, self.mlp = RMSNorm(hidden_size), SwiGLU(hidden_size, intermediate_size)
        self.has_mlp = intermediate_size > 0

    def forward(self, x: Tensor, state: Any, sequences: Sequences, keep: bool) -> tuple[Tensor, Any]:
        """The residual stream behind the block, and its state where it is to be kept; `state` None is the start."""
        y, state = mix(self.mixer, self.mixer_norm(x), state, sequences, keep)
        x = x + y
        if self.has_mlp:
            x = x + self.mlp(self.mlp_norm(x))
        return x, state if keep else None


def mix(mixer: nn.Module, x: Tensor, state: Any, sequences: Sequences, keep: bool) -> tuple[Tensor, Any]:
    """A mixer over sequences: the layer of a memory, attention, or a wiring of both."""
    if not isinstance(mixer, TokenMixer):
        y, state = mixer(x, state, sequences, keep)
        return y, state
    past = LayerCache(mixer.initial_state(sequences.rows), {}) if state is None else state
    return mixer.mix(x, past, keep, sequences.cu_seqlens, sequences.longest)
