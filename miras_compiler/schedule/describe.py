"""A schedule in words, for `explain`."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.ir.nodes import Contract
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.schedule.kernel import Kernel, Schedule

WAYS = {"forward": "walks the tiles", "reverse": "walks them in reverse", "each": "all tiles at once"}


def describe_schedules(schedules: Mapping[str, Schedule], why_not: str) -> str:
    """A line a kernel: what it is, its products, what it loads of the others and what it leaves; or why there are none."""
    if not schedules:
        return f"no Triton kernels: {why_not}"
    lines = []
    for prefix, schedule in schedules.items():
        lines.append(f"{'a chunk in progress, ' if prefix else ''}{schedule.reason}")
        lines += [f"  {_kernel(kernel)}" for kernel in schedule.kernels]
    return "\n".join(lines)


def _kernel(kernel: Kernel) -> str:
    products = sum(isinstance(node, Contract) for node in nodes_of(kernel.program))
    saved = [*kernel.outputs("saved"), *kernel.entries.values()]
    gives = ", ".join(kernel.outputs("token", "carried", "total"))
    parts = [f"{kernel.name}: {WAYS[kernel.walk]}, {products} products"]
    parts += [f"loads {', '.join(kernel.leaves('saved'))}"] if kernel.leaves("saved") else []
    parts += [f"saves {', '.join(saved)}"] if saved else []
    parts += [f"gives {gives}"] if gives else []
    return "; ".join(parts)
