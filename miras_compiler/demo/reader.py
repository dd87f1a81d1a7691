"""A reader: the generated Titans memory, with its state handed from call to call."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import torch
from torch import Tensor

DIM = 256  # width of keys and values
HIDDEN = 1024  # hidden width of the memory
CHUNK = 64  # tokens read in one call: the chunk of the spec, so that every call begins a chunk
GATES = {"log_alpha": math.log(0.9999), "eta": 0.003, "log_mu": math.log(0.9)}


class Reader:
    """One head of the Titans memory in the package `generated`/titans_lmm, beginning with random weights and nothing else."""

    def __init__(self, generated: Path, seed: int) -> None:
        sys.path.insert(0, str(generated))
        self.operators = importlib.import_module("titans_lmm.ops")
        self.recurrent = importlib.import_module("titans_lmm.recurrent")
        random = torch.Generator().manual_seed(seed)
        self.state: dict[str, Tensor] = {
            "W1": torch.randn(1, 1, DIM, HIDDEN, generator=random) / math.sqrt(DIM),
            "W2": torch.randn(1, 1, HIDDEN, DIM, generator=random) / math.sqrt(HIDDEN),
        }
        self.norm = {"ln_weight": torch.full((1, DIM), 1 / math.sqrt(DIM)), "ln_bias": torch.zeros(1, DIM)}

    @torch.no_grad()
    def read(self, key: Tensor, value: Tensor) -> Tensor:
        """Read tokens with keys and values `[T, DIM]`, go on from the state they leave. Returns ℓ, ‖e‖, ‖g‖ per token, `[3, T]`."""
        k, v = key[None, :, None], value[None, :, None]
        gates = {name: torch.full(k.shape[:3], number) for name, number in GATES.items()}
        trace = self.recurrent.trace_titans_lmm(k, k, v, **gates, **self.norm, initial_state=self.state)
        _, self.state = self.operators.chunk_titans_lmm(k, k, v, **gates, **self.norm, initial_state=self.state, output_final_state=True)
        return torch.stack([trace.loss, trace.error, trace.surprise])[:, 0, :, 0]
