"""A form as one operator of PyTorch, for torch.compile and torch.export: one node of their graphs for any number of tokens.

They would unroll a loop over tokens, into another graph for every length, and cannot read the borders of packed sequences. The operator
returns, beside the results, a tensor that stands for the inputs of its backward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .runtime_recorded import keep, kept, record
from .runtime_transforms import function_of, one_by_one

MOST = 61  # tensors among the 64 arguments that an operator of PyTorch can have
Run = Callable[[Tensor | None, int, Sequence[Tensor]], list[Tensor]]


def _dispatch_keys() -> tuple[Any, Any]:
    return torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()


with ThreadPoolExecutor(1) as fresh:  # a new thread has PyTorch's initial settings, whatever is switched on or off in this one
    KEYS = fresh.submit(_dispatch_keys).result()


def recording() -> Any:
    """A context in which autograd records: inside an operator it does not."""
    return torch._C._ForceDispatchKeyGuard(*KEYS)


def opaque(library: str, form: str, tensors: int, results: Sequence[bool], run: Run) -> Any:
    """The operator `library::form`: so many tensors, borders and a tile to the outputs and the state, which `run` computes.

    Its last argument says for which tensors gradients will be asked. `results` says which of its results have gradients. Another copy of
    the same package gets another name. None where there are more tensors than an operator can have.
    """
    if tensors > MOST:
        return None
    name = next(name for name in names(form) if not hasattr(getattr(torch.ops, library), name))

    def forward(*arguments: Any) -> Any:
        *given, cu_seqlens, tile, wanted = arguments
        if not any(wanted):
            return (*(dense_copy(x) for x in run(cu_seqlens, tile, given)), torch.zeros(1, dtype=torch.int64))
        with recording():
            graph = record(partial(run, cu_seqlens, tile), given, wanted)
        return (*(dense_copy(x.detach()) for x in graph.results), keep(graph))

    def shapes(*arguments: Any) -> Any:
        *given, _, _, _ = arguments
        q, v, state = given[0], given[2], given[len(given) + 1 - len(results) :]
        token = torch.empty(1, dtype=torch.int64, device="cpu")
        return (q.new_empty((*q.shape[:3], v.shape[-1])), *(x.new_empty(x.shape) for x in state), token)

    def backward(
        given: list[Tensor], cu_seqlens: Tensor | None, tile: int, wanted: list[bool], token: Tensor, cotangents: list[Tensor | None]
    ) -> list[Tensor]:
        graph = kept(token)
        if graph is None or any(wants and not x.requires_grad for x, wants in zip(graph.leaves, wanted, strict=True)):
            with recording():
                graph = record(partial(run, cu_seqlens, tile), given, wanted)
        slopes = iter(cotangents)
        found = graph.pull_back(wanted, [next(slopes) if has else None for has in results])
        pairs = zip(itertools.compress(given, wanted), itertools.compress(found, wanted), strict=True)
        return [torch.zeros_like(x, memory_format=torch.contiguous_format) if slope is None else dense_copy(slope) for x, slope in pairs]

    def slope_shapes(
        given: list[Tensor], cu_seqlens: Tensor | None, tile: int, wanted: list[bool], token: Tensor, cotangents: list[Tensor | None]
    ) -> list[Tensor]:
        return [x.new_empty(x.shape) for x in itertools.compress(given, wanted)]

    def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *given, ctx.tile, _ = inputs
        ctx.save_for_backward(*given, output[-1])
        ctx.mark_non_differentiable(output[-1])
        ctx.set_materialize_grads(False)

    def differentiate(ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
        *given, cu_seqlens, token = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[: len(given)])
        slopes = iter(run_backward(given, cu_seqlens, ctx.tile, wanted, token, list(itertools.compress(cotangents, results))))
        return (*(next(slopes) if wants else None for wants in wanted), None, None, None)

    taken = ", ".join([*(f"Tensor x{number}" for number in range(tensors)), "Tensor? cu_seqlens", "int tile", "bool[] wanted"])
    forward_op = define(f"{library}::{name}", f"({taken}) -> ({', '.join(['Tensor'] * (len(results) + 1))})", forward, shapes)
    lists = "(Tensor[] given, Tensor? cu_seqlens, int tile, bool[] wanted, Tensor token, Tensor?[] cotangents) -> Tensor[]"
    backward_op = define(f"{library}::{name}_backward", lists, backward, slope_shapes)
    run_backward = function_of(backward_op, keep_nothing, refuse_second_derivatives)
    forward_op.register_autograd(differentiate, setup_context=save)
    return function_of(forward_op, save, differentiate)


def keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    """The operator of a backward pass keeps nothing: it is not differentiated."""


def refuse_second_derivatives(ctx: Any, *gradients: Tensor) -> Any:
    raise RuntimeError("there are no second derivatives under torch.compile, nor where vmap maps over borders; other calls have them")


def dense_copy(x: Tensor) -> Tensor:
    """x in memory of its own, row by row, as its shape alone says."""
    return x.clone(memory_format=torch.contiguous_format)


def define(name: str, schema: str, run: Callable[..., Any], shapes: Callable[..., Any]) -> Any:
    """An operator, the shapes of its results, and its batching rule."""
    operator = torch.library.custom_op(name, run, mutates_args=(), schema=schema)
    operator.register_fake(shapes)
    operator.register_vmap(lambda info, in_dims, *arguments: one_by_one(operator, info.batch_size, in_dims, arguments))
    return operator


def names(form: str) -> Iterator[str]:
    """form, form_2, form_3, …"""
    yield form
    for number in itertools.count(2):
        yield f"{form}_{number}"
