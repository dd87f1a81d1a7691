"""The peers' times on the shapes of gpu_time, on the same GPU: flash-linear-attention and titans-pytorch, where they are installed."""

from __future__ import annotations

import statistics
import sys
from typing import Any

import torch


def median_ms(function: Any, calls: int = 20) -> float:
    """Median over calls that follow each other without waiting, timed by events."""
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(calls)]
    for start, end in events:
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events)


def tokens(batch: int, length: int, heads: int, width: int) -> list[torch.Tensor]:
    q, k, v = (torch.randn(batch, length, heads, width, device="cuda") for _ in range(3))
    q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    return [x.bfloat16().requires_grad_() for x in (q, k, v)]


def report(label: str, forward: Any, leaves: list[torch.Tensor]) -> None:
    def both() -> None:
        for x in leaves:
            x.grad = None
        out = forward()
        out.backward(torch.ones_like(out))

    one = median_ms(forward)
    torch.cuda.reset_peak_memory_stats()
    print(f"{label}: forward {one:.3f}  both {median_ms(both):.3f}  peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB", flush=True)


def flash_linear_attention() -> None:
    import fla
    import fla.ops.common.chunk_o as chunk_o
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    from fla.ops.linear_attn import chunk_linear_attn

    chunk_o.IS_NVIDIA_HOPPER = False  # it refuses its gated backward on Hopper with this Triton: for timing alone
    q, k, v = tokens(8, 4096, 16, 64)
    g = (-0.1 * torch.rand(8, 4096, 16, device="cuda")).requires_grad_()
    beta = (0.5 * torch.rand(8, 4096, 16, device="cuda")).bfloat16().requires_grad_()
    report(
        f"fla {fla.__version__} chunk_gated_delta_rule B8 T4096 H16 D64",
        lambda: chunk_gated_delta_rule(q, k, v, g, beta)[0],
        [q, k, v, g, beta],
    )
    report("fla chunk_linear_attn B8 T4096 H16 D64", lambda: chunk_linear_attn(q, k, v, scale=1.0, normalize=False)[0], [q, k, v])


def titans_pytorch() -> None:
    from titans_pytorch import MemoryMLP, NeuralMemory

    for chunk in (64, 16):
        model = MemoryMLP(64, depth=2, expansion_factor=1.0)
        memory = NeuralMemory(dim=1024, chunk_size=chunk, heads=16, dim_head=64, model=model, momentum=True).cuda().bfloat16()
        x = torch.randn(2, 4096, 1024, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        report(f"titans-pytorch MLP 64-64-64 chunk {chunk} B2 T4096 (a quarter of the tokens)", lambda m=memory, x=x: m(x)[0], [x])


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["flash_linear_attention", "titans_pytorch"]
    for peer in (each for each in (flash_linear_attention, titans_pytorch) if each.__name__ in wanted):
        try:
            peer()
        except Exception as problem:
            print(f"{peer.__name__}: {type(problem).__name__} {str(problem)[:300]}", flush=True)
