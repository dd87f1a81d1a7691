"""A form as one operator of PyTorch, for torch.compile and torch.export: one node of their graphs for any number of tokens.

They would unroll a loop over tokens, into another graph for every length, and cannot read the borders of packed sequences. The operator
returns, beside the results, a tensor that stands for the inputs of its backward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from .runtime_recorded import Graph, keep, kept
from .runtime_recorded import record as record_graph
from .runtime_transforms import function_of, one_by_one

MOST = 60  # tensors among the 64 arguments that an operator of PyTorch can have
Run = Callable[[Sequence[Tensor | None], Tensor | None, int], Sequence[Tensor]]
LIBRARIES: list[torch.library.Library] = []  # an operator lives as long as its library


def _dispatch_keys() -> tuple[Any, Any]:
    return torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()


with ThreadPoolExecutor(1) as fresh:  # a new thread has PyTorch's initial settings, whatever is switched on or off in this one
    KEYS = fresh.submit(_dispatch_keys).result()


def recording() -> Any:
    """A context in which autograd records: inside an operator it does not."""
    return torch._C._ForceDispatchKeyGuard(*KEYS)


def opaque(library: str, form: str, tensors: int, results: Sequence[bool], run: Run, shapes: Run) -> Any:
    """The operator `library::form`: so many tensors or Nones, borders and a tile to the outputs and the state, which `run` computes.

    `shapes` computes results of the same shapes from tensors without values. The last two arguments say whether the state is asked for,
    which else is empty, and for which tensors gradients will be. `results` says which of its results have gradients. Another copy of the
    same package gets another name. None where there are more tensors than an operator can have.
    """
    if tensors > MOST:
        return None
    name = next(name for name in names(form) if not hasattr(getattr(torch.ops, library), name))

    def forward(*arguments: Any) -> Any:
        *given, cu_seqlens, tile, final, wanted = arguments
        if any(wanted):
            with recording():
                graph = record(given, cu_seqlens, tile, wanted)
            (o, *state), token = (x.detach() for x in graph.results), keep(graph)
        else:
            (o, *state), token = run(given, cu_seqlens, tile), torch.zeros(1, dtype=torch.int64)
        return (dense_copy(o), *(dense_copy(x) if final else x.new_empty(0) for x in state), token)

    def record(given: Sequence[Tensor | None], cu_seqlens: Tensor | None, tile: int, wanted: Sequence[bool]) -> Graph:
        return record_graph(lambda leaves: run(leaves, cu_seqlens, tile), given, wanted)

    def forward_shapes(*arguments: Any) -> Any:
        *given, cu_seqlens, tile, final, _ = arguments
        o, *state = shapes(given, cu_seqlens, tile)
        token = torch.empty(1, dtype=torch.int64, device="cpu")
        return (o.new_empty(o.shape), *(x.new_empty(x.shape if final else (0,)) for x in state), token)

    def backward(
        given: list[Tensor | None], cu_seqlens: Tensor | None, tile: int, wanted: list[bool], token: Tensor, cotangents: list[Tensor | None]
    ) -> list[Tensor]:
        graph = kept(token)
        if graph is None or not graph.starts_at(given) or not all(x.requires_grad for x in asked(graph.leaves, wanted)):
            with recording():
                graph = record(given, cu_seqlens, tile, wanted)
        slopes = iter(cotangents)
        found = graph.pull_back(wanted, [next(slopes) if has else None for has in results])
        pairs = zip(asked(given, wanted), itertools.compress(found, wanted), strict=True)
        return [dense_zeros(x) if slope is None else dense_copy(slope) for x, slope in pairs]

    def slope_shapes(
        given: list[Tensor | None], cu_seqlens: Tensor | None, tile: int, wanted: list[bool], token: Tensor, cotangents: list[Tensor | None]
    ) -> list[Tensor]:
        return [x.new_empty(x.shape) for x in asked(given, wanted)]

    def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *given, ctx.tile, _, _ = inputs
        ctx.save_for_backward(*given, output[-1])
        ctx.mark_non_differentiable(output[-1])
        ctx.set_materialize_grads(False)

    def differentiate(ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
        *given, cu_seqlens, token = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[: len(given)])
        slopes = iter(run_backward(given, cu_seqlens, ctx.tile, wanted, token, list(itertools.compress(cotangents, results))))
        return (*(next(slopes) if wants else None for wants in wanted), None, None, None, None)

    taken = ", ".join(f"Tensor? x{number}" for number in range(tensors))
    options = "Tensor? cu_seqlens, int tile, bool final, bool[] wanted"
    returned = ", ".join(["Tensor"] * (len(results) + 1))
    lists = "(Tensor?[] given, Tensor? cu_seqlens, int tile, bool[] wanted, Tensor token, Tensor?[] cotangents) -> Tensor[]"
    defined = torch.library.Library(library, "FRAGMENT")  # type: ignore[no-untyped-call]
    LIBRARIES.append(defined)
    run_backward = define(defined, f"{name}_backward{lists}", backward, slope_shapes, keep_nothing, refuse_second_derivatives)
    return define(defined, f"{name}({taken}, {options}) -> ({returned})", forward, forward_shapes, save, differentiate)


def keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    """The operator of a backward pass keeps nothing: it is not differentiated."""


def refuse_second_derivatives(ctx: Any, *gradients: Tensor) -> Any:
    raise RuntimeError("there are no second derivatives under torch.compile, nor where vmap maps over borders; other calls have them")


def asked(tensors: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor]:
    """The tensors of which gradients are wanted."""
    return [x for x, wants in zip(tensors, wanted, strict=True) if wants and x is not None]


def dense_copy(x: Tensor) -> Tensor:
    """x in memory of its own, row by row, as its shape alone says."""
    return x.clone(memory_format=torch.contiguous_format)


def dense_zeros(x: Tensor) -> Tensor:
    """Zeros of the same shape, row by row."""
    return torch.zeros_like(x, memory_format=torch.contiguous_format)


def define(
    library: torch.library.Library,
    schema: str,
    run: Callable[..., Any],
    shapes: Callable[..., Any],
    save: Callable[..., None],
    differentiate: Callable[..., Any],
) -> Any:
    """A call of an operator, of which the shapes of results, the gradients and the batching rule are known.

    It makes no assumption on strides, and is registered without the checks of `torch.library.custom_op`, which cost each call more time.
    """
    short = schema.partition("(")[0]
    name = f"{library.ns}::{short}"
    library.define(schema, tags=(torch.Tag.pt2_compliant_tag, torch.Tag.flexible_layout))  # type: ignore[no-untyped-call]
    library.impl(short, _disable_dynamo(run), "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    torch.library.register_fake(name, shapes, lib=library)
    torch.library.register_autograd(name, differentiate, setup_context=save, lib=library)
    operator = getattr(getattr(torch.ops, library.ns), short).default
    torch.library.register_vmap(name, lambda info, dims, *given: one_by_one(operator, info.batch_size, dims, given), lib=library)
    return function_of(operator, save, differentiate)


def names(form: str) -> Iterator[str]:
    """form, form_2, form_3, …"""
    yield form
    for number in itertools.count(2):
        yield f"{form}_{number}"
