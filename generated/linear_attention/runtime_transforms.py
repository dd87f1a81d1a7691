"""Operators of torch.library under torch.func: with gradients, and mapped over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def function_of(op: Any, save: Callable[..., None], differentiate: Callable[..., Any]) -> Any:
    """A call of an operator with gradients.

    The transforms of torch.func know autograd functions that keep and differentiate in two steps, but no operators with gradients.
    """

    def forward(*arguments: Any) -> Any:
        found = op(*arguments)
        return tuple(found) if isinstance(found, list) else found  # of a list vmap makes no results

    methods = {"forward": staticmethod(forward), "setup_context": staticmethod(save), "backward": staticmethod(differentiate)}
    function: Any = type("Function", (torch.autograd.Function,), {**methods, "generate_vmap_rule": True})

    def call(*arguments: Any) -> Any:
        is_transformed = not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
        return function.apply(*arguments) if is_transformed else op(*arguments)

    return call


def one_by_one(op: Any, number: int, in_dims: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """The rule for torch.vmap that calls the operator `number` times; the results are stacked along their first axis."""
    calls = [op(*(chosen(x, dim, index) for x, dim in zip(arguments, in_dims, strict=True))) for index in range(number)]
    if isinstance(calls[0], Tensor):
        return torch.stack(calls), 0
    stacked = type(calls[0])(torch.stack(each) for each in zip(*calls, strict=True))
    return stacked, type(stacked)([0] * len(stacked))


def chosen(x: Any, dim: Any, index: int) -> Any:
    """The argument of one call; lists of tensors have a list of axes."""
    if dim is None:
        return x
    return x.select(dim, index) if isinstance(x, Tensor) else [chosen(*pair, index) for pair in zip(x, dim, strict=True)]
