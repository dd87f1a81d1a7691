"""The backward pass of a form in PyTorch: from the graph of its forward pass, and in the same precision, wherever it is called.

PyTorch computes the products of a backward pass in 16 bits if it is called under autocast, whatever the forward pass did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .runtime_precision import without_autocast

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


@dataclass(frozen=True)
class Graph:
    """A forward pass that can be differentiated: its results, and the tensors that it started from."""

    results: Sequence[Tensor]
    leaves: Sequence[Tensor | None]

    def starts_at(self, tensors: Sequence[Tensor | None]) -> bool:
        """True if these are its leaves, in the same memory.

        A compiled graph may compute the arguments of an operator anew in its backward pass, and put other numbers where they were before.
        """
        pairs = zip(self.leaves, tensors, strict=True)
        return all(leaf is None or x is None or leaf.data_ptr() == x.data_ptr() for leaf, x in pairs)

    def pull_back(self, wanted: Sequence[bool], cotangents: Sequence[Tensor | None], create_graph: bool = False) -> list[Tensor | None]:
        """The gradient of every wanted leaf, None for the others and for those that no result depends on.

        The graph is freed on the way, unless the backward pass around it keeps its own.
        """
        leaves = [x for x, wants in zip(self.leaves, wanted, strict=True) if wants and x is not None]
        pairs = [(x, slope) for x, slope in zip(self.results, cotangents, strict=True) if slope is not None and x.requires_grad]
        if not pairs or not leaves:
            return [None] * len(wanted)
        results, slopes = zip(*pairs, strict=True)
        keeps = create_graph or torch._C._autograd._get_current_graph_task_keep_graph()
        with without_autocast(leaves[0].device):
            found = torch.autograd.grad(results, leaves, slopes, retain_graph=keeps, create_graph=create_graph, allow_unused=True)
        gradients = iter(found)
        return [next(gradients) if wants else None for wants in wanted]


def record(run: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor | None], wanted: Sequence[bool]) -> Graph:
    """Runs the function on copies of the tensors, which share their memory, for gradients of the wanted ones."""
    with torch.enable_grad():
        leaves = [None if x is None else x.detach().requires_grad_(wants) for x, wants in zip(tensors, wanted, strict=True)]
        return Graph(run(leaves), leaves)


class Bytes(bytearray):
    """The memory of a tensor that stands for a graph: the graph is freed with it."""

    graph: Graph


_memories: WeakValueDictionary[int, Bytes] = WeakValueDictionary()


def keep(graph: Graph) -> Tensor:
    """A tensor [1] that stands for the graph, and may be kept for the backward pass as any other."""
    memory = Bytes(8)
    memory.graph = graph
    token = torch.frombuffer(memory, dtype=torch.int64)
    _memories[token.data_ptr()] = memory
    return token


def kept(token: Tensor) -> Graph | None:
    """The graph that the tensor stands for; None where it is a copy, or stands for none."""
    memory = _memories.get(token.data_ptr())
    return None if memory is None else memory.graph


class Recorded(torch.autograd.Function):
    """A function of tensors with a backward pass of its own: from the graph that is kept, or from another forward pass."""

    @staticmethod
    def forward(ctx: Any, run: Run, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run, ctx.wanted = run, [x.requires_grad for x in tensors]
        graph = record(run, tensors, ctx.wanted)
        results = tuple(x.detach() for x in graph.results)
        ctx.save_for_backward(keep(graph), *tensors)
        ctx.mark_non_differentiable(*(x for x, recorded in zip(results, graph.results, strict=True) if not recorded.requires_grad))
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        token, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives the gradient is a function of the tensors themselves
            return (None, *Graph(ctx.run(tensors), tensors).pull_back(ctx.wanted, cotangents, create_graph=True))
        graph = kept(token) or record(ctx.run, tensors, ctx.wanted)
        return (None, *graph.pull_back(ctx.wanted, cotangents))


def recorded(run: Run, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The function's results; gradients by `Recorded` where PyTorch would record them, and nothing else transforms the tensors."""
    is_plain = all(type(x) in (Tensor, torch.nn.Parameter) for x in tensors)
    is_transformed = torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0
    if is_transformed or not is_plain or not torch.is_grad_enabled() or not any(x.requires_grad for x in tensors):
        return run(tensors)
    results: Sequence[Tensor] = Recorded.apply(run, *tensors)  # type: ignore[no-untyped-call]
    return results
