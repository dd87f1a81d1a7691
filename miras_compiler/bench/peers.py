"""What users would pick instead, on the same work: fla-core for the gated delta rule, titans-pytorch for the Titans memory."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.bench.clock import Clock
from miras_compiler.bench.precision import rms
from miras_compiler.bench.subject import Shape

DEVICE = "cuda"


class Contender(NamedTuple):
    """A peer's forward pass on inputs of one shape, and the tensors that it is differentiated by."""

    label: str
    forward: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]


class Peer(NamedTuple):
    """`build` makes it at a shape, for the chunk of a package; `own_error` is its distance from its own reference, at a small shape."""

    module: str
    build: Callable[[Shape, int], Contender]
    own_error: Callable[[Shape, int], float]
    remark: str

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


def tokens(shape: Shape) -> list[Tensor]:
    """q, k and v in bfloat16; q and k of length 1."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for index in range(3):
        x = torch.randn(*shape[:3], shape.key, generator=generator)
        x = x / x.norm(dim=-1, keepdim=True) if index < 2 else x
        found.append(x.to(DEVICE).bfloat16().requires_grad_())
    return found


def gates(shape: Shape) -> tuple[Tensor, Tensor]:
    """Log decays, and step sizes in bfloat16."""
    generator = torch.Generator().manual_seed(1)
    decay, step = (torch.rand(*shape[:3], generator=generator).to(DEVICE) for _ in range(2))
    return (-0.1 * decay).requires_grad_(), (0.5 * step).bfloat16().requires_grad_()


def gated_delta_rule(shape: Shape, chunk: int) -> Contender:
    import fla
    import fla.ops.common.chunk_o as chunk_o
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    chunk_o.IS_NVIDIA_HOPPER = False  # it refuses its gated backward on Hopper with some versions of Triton: for timing alone
    (q, k, v), (g, beta) = tokens(shape), gates(shape)
    return Contender(f"fla-core {fla.__version__}", lambda: chunk_gated_delta_rule(q, k, v, g, beta)[0], (q, k, v, g, beta))


def gated_delta_rule_error(shape: Shape, chunk: int) -> float:
    """Its kernels in bfloat16 against its own recurrent reference: the worst of output and gradients."""
    import fla.ops.common.chunk_o as chunk_o
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule

    chunk_o.IS_NVIDIA_HOPPER = False
    (q, k, v), (g, beta) = tokens(shape), gates(shape)
    found = chunk_gated_delta_rule(q, k, v, g, beta)[0]
    expected = naive_recurrent_gated_delta_rule(q, k, v, beta, g)[0]
    leaves, weight = (q, k, v, g, beta), torch.ones_like(expected)
    pairs = zip(
        (found, *torch.autograd.grad(found, leaves, weight.to(found.dtype))), (expected, *torch.autograd.grad(expected, leaves, weight)),
        strict=True,
    )  # fmt: skip
    return max(rms(actual.detach(), wanted.detach()) for actual, wanted in pairs)


def titans_memory(shape: Shape, chunk: int, dtype: torch.dtype = torch.bfloat16) -> Any:
    from titans_pytorch import MemoryMLP, NeuralMemory

    torch.manual_seed(0)
    width = shape.heads * shape.key
    model = MemoryMLP(shape.key, depth=2, expansion_factor=shape.hidden / shape.key)
    memory = NeuralMemory(dim=width, chunk_size=chunk, heads=shape.heads, dim_head=shape.key, model=model, momentum=True)
    return memory.to(DEVICE).to(dtype)


def titans(shape: Shape, chunk: int) -> Contender:
    from importlib.metadata import version

    memory = titans_memory(shape, chunk)
    x = torch.randn(shape.batch, shape.tokens, shape.heads * shape.key).to(DEVICE).bfloat16().requires_grad_()
    return Contender(f"titans-pytorch {version('titans-pytorch')}", lambda: memory(x)[0], (x, *memory.parameters()))


def titans_error(shape: Shape, chunk: int) -> float:
    """The module in bfloat16 against itself in float64: the worst of output and the gradient of the tokens."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(shape.batch, shape.tokens, shape.heads * shape.key, generator=generator).bfloat16().to(DEVICE)
    results = []
    for dtype in (torch.bfloat16, torch.float64):
        memory, given = titans_memory(shape, chunk), x.to(dtype).requires_grad_()
        out = memory.to(dtype)(given)[0]
        results.append((out, *torch.autograd.grad(out, (given,), torch.ones_like(out))))
    return max(rms(actual.detach(), wanted.detach()) for actual, wanted in zip(*results, strict=True))


PEERS: Mapping[str, Peer] = {
    "fla-core": Peer("fla", gated_delta_rule, gated_delta_rule_error, "its gated backward runs although it refuses this Triton"),
    "titans-pytorch": Peer("titans_pytorch", titans, titans_error, "the Titans memory, with its projections and norms"),
}
BESIDE = {"gated_delta_net": "fla-core", "titans_lmm": "titans-pytorch", "yaad": "titans-pytorch"}  # by the name of a package


def installed_peers() -> dict[str, str]:
    """The names of peers that are installed, by the package that they are beside."""
    return {package: peer for package, peer in BESIDE.items() if PEERS[peer].installed}


def measure_peer(peer: Peer, shape: Shape, chunk: int, clock: Clock) -> dict[str, Any]:
    """Times at the shape; where that does not fit into memory, at half the sequences, and so on. The error is that of a small shape."""
    error, batch = _own_error(peer, shape, chunk), shape.batch
    while True:
        times = _times(peer, shape._replace(batch=batch), chunk, clock)
        if times or batch == 1:
            return {"error": error, "batch": batch, "remark": peer.remark, **times}
        batch //= 2


def _times(peer: Peer, shape: Shape, chunk: int, clock: Clock) -> dict[str, Any]:
    """Nothing where memory does not suffice."""
    try:
        return _measured(peer.build(shape, chunk), clock)
    except torch.OutOfMemoryError:
        return {}


def _measured(contender: Contender, clock: Clock) -> dict[str, Any]:
    with torch.no_grad():
        cotangent = torch.ones_like(contender.forward())

    def both() -> None:
        for x in contender.leaves:
            x.grad = None
        contender.forward().backward(cotangent)  # type: ignore[no-untyped-call]

    peak = clock.peak_gib(both)
    return {"label": contender.label, "forward": clock.median_ms(contender.forward), "both": clock.median_ms(both), "peak_gib": peak}


def _own_error(peer: Peer, shape: Shape, chunk: int) -> float:
    try:
        return peer.own_error(shape._replace(batch=1, tokens=4 * chunk, heads=2), chunk)
    except RuntimeError:
        return math.nan  # its reference does not run here
