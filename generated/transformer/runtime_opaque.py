"""A form as one operator of PyTorch, for torch.compile and torch.export: one node of their graphs for any number of tokens.

They would unroll a loop over tokens, into another graph for every length, and cannot read the borders of packed sequences. Its backward
pass computes the forward pass again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

MOST = 62  # tensors among the 64 arguments that an operator of PyTorch can have
Run = Callable[[Sequence[Tensor], Tensor | None, int], list[Tensor]]


def opaque(library: str, form: str, floating: Sequence[bool], results: Sequence[bool], run: Run) -> Any:
    """The operator `library::form`: tensors, borders and a tile to the outputs and the state, which `run` computes.

    `floating` says which of its tensors have gradients, tokens first, `results` which of its results. Another copy of the same package
    gets another name. None where there are more tensors than an operator can have.
    """
    if len(floating) > MOST:
        return None
    name = next(name for name in names(form) if not hasattr(getattr(torch.ops, library), name))

    def forward(*arguments: Any) -> Any:
        *tensors, cu_seqlens, tile = arguments
        return tuple(dense_copy(x) for x in run(tensors, cu_seqlens, tile))

    def shapes(*arguments: Any) -> Any:
        *tensors, _, _ = arguments
        q, v, state = tensors[0], tensors[2], tensors[len(tensors) + 1 - len(results) :]
        return (q.new_empty((*q.shape[:3], v.shape[-1])), *(x.new_empty(x.shape) for x in state))

    def backward(tensors: list[Tensor], cu_seqlens: Tensor | None, tile: int, cotangents: list[Tensor]) -> list[Tensor]:
        def differentiable(*leaves: Tensor) -> tuple[Tensor, ...]:
            remaining = iter(leaves)
            every = [next(remaining) if has else x for x, has in zip(tensors, floating, strict=True)]
            return tuple(itertools.compress(run(every, cu_seqlens, tile), results))

        # not torch.autograd: inside an operator it records nothing
        pulled: Any = torch.func.vjp(differentiable, *itertools.compress(tensors, floating))
        return [dense_copy(slope) for slope in pulled[1](tuple(cotangents))]

    def slope_shapes(tensors: list[Tensor], cu_seqlens: Tensor | None, tile: int, cotangents: list[Tensor]) -> list[Tensor]:
        return [x.new_empty(x.shape) for x in itertools.compress(tensors, floating)]

    def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.tile = inputs
        ctx.save_for_backward(*tensors)

    def differentiate(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        *tensors, cu_seqlens = ctx.saved_tensors
        slopes = iter(backward_op(tensors, cu_seqlens, ctx.tile, list(itertools.compress(cotangents, results))))
        return (*(next(slopes) if has else None for has in floating), None, None)

    taken = ", ".join([*(f"Tensor x{number}" for number in range(len(floating))), "Tensor? cu_seqlens", "int tile"])
    forward_op = define(f"{library}::{name}", f"({taken}) -> ({', '.join(['Tensor'] * len(results))})", forward, shapes)
    lists = "(Tensor[] tensors, Tensor? cu_seqlens, int tile, Tensor[] cotangents) -> Tensor[]"
    backward_op = define(f"{library}::{name}_backward", lists, backward, slope_shapes)
    forward_op.register_autograd(differentiate, setup_context=keep)
    return forward_op


def dense_copy(x: Tensor) -> Tensor:
    """x in memory of its own, row by row, as its shape alone says."""
    return x.clone(memory_format=torch.contiguous_format)


def define(name: str, schema: str, run: Callable[..., Any], shapes: Callable[..., Any]) -> Any:
    """An operator, and the shapes of its results."""
    operator = torch.library.custom_op(name, run, mutates_args=(), schema=schema)
    operator.register_fake(shapes)
    return operator


def names(form: str) -> Iterator[str]:
    """form, form_2, form_3, …"""
    yield form
    for number in itertools.count(2):
        yield f"{form}_{number}"
