"""titans-pytorch beside a Titans memory: as it is by default, and with the gradients that the paper takes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from miras_compiler.bench.contender import Contender, Peer, PeerWork
from miras_compiler.bench.precision import rms

DEVICE = "cuda"


def memory_of(setting: PeerWork, chunk_start: bool) -> Any:
    """The module in float32, of the widths and the chunk of the package."""
    from titans_pytorch import MemoryMLP, NeuralMemory

    torch.manual_seed(0)
    shape = setting.shape
    model = MemoryMLP(shape.key, depth=2, expansion_factor=shape.hidden / shape.key)
    options = {"batch_size": setting.chunk} if chunk_start else {}
    width = shape.heads * shape.key
    return NeuralMemory(
        dim=width, chunk_size=setting.chunk, heads=shape.heads, dim_head=shape.key, model=model, momentum=True, **options
    ).to(DEVICE)  # fmt: skip


def tokens_of(setting: PeerWork) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = setting.shape
    return torch.randn(shape.batch, shape.tokens, shape.heads * shape.key, generator=generator).bfloat16().to(DEVICE)


def build(setting: PeerWork, chunk_start: bool) -> Contender:
    memory, x = memory_of(setting, chunk_start).bfloat16(), tokens_of(setting).requires_grad_()
    return Contender(f"titans-pytorch {version('titans-pytorch')}", lambda: memory(x)[0], (x, *memory.parameters()))


def error(setting: PeerWork, chunk_start: bool) -> float:
    """The module in bfloat16 against itself in float64: the worst of output and the gradient of the tokens."""
    x, results = tokens_of(setting), []
    for dtype in (torch.bfloat16, torch.float64):
        memory, given = memory_of(setting, chunk_start).bfloat16().to(dtype), x.to(dtype).requires_grad_()
        out = memory(given)[0]
        results.append((out, *torch.autograd.grad(out, (given,), torch.ones_like(out))))
    return max(rms(actual.detach(), wanted.detach()) for actual, wanted in zip(*results, strict=True))


DEFAULT = Peer(
    "titans_pytorch",
    "another function: all gradients at the initial weights, its default; with projections and norms",
    lambda setting: build(setting, False),
    lambda setting: error(setting, False),
)
CHUNK_START = Peer(
    "titans_pytorch",
    "gradients at each chunk's start, as in the paper (batch_size = chunk); with projections and norms",
    lambda setting: build(setting, True),
    lambda setting: error(setting, True),
)
