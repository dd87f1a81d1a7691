"""Operators and layers of a package in another process as functions here, with their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from miras_compiler.verify import wire
from miras_compiler.verify.process import Process


class _Call:
    """One tracked request, and after it the form of its result and the number of its graph."""

    def __init__(self, process: Process, verb: str, places: Any, given: Mapping[str, Any]) -> None:
        self.process = process
        self.verb = verb
        self.places = places
        self.given = given
        self.result: Any = None
        self.graph = -1

    def __del__(self) -> None:
        self.process.forget.append(self.graph)


class _Remote(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, *leaves: Tensor) -> tuple[Tensor, ...]:
        ctx.call = call
        ctx.tracked = [leaf.requires_grad for leaf in leaves]
        ctx.set_materialize_grads(False)
        answer = call.process.request(call.verb, **wire.fill_tensors(call.places, leaves), **call.given, tracked=True)
        call.graph = answer["graph"]
        call.result, tensors = wire.numbered(answer["result"])
        ctx.live = answer["live"]
        ctx.mark_non_differentiable(*(tensor for tensor, live in zip(tensors, ctx.live, strict=True) if not live))
        return tuple(tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [cotangent for cotangent, live in zip(cotangents, ctx.live, strict=True) if live]
        gradients = iter(ctx.call.process.request("backward", graph=ctx.call.graph, cotangents=given))
        return (None, *(next(gradients) if tracked else None for tracked in ctx.tracked))


class RemoteOperator:
    """An operator of the package in the process; `in_parts`: its backward kernels take one tile of tokens after another."""

    def __init__(self, process: Process, target: str, in_parts: bool = False, **options: object) -> None:
        self.process = process
        self.target = target
        self.in_parts = in_parts
        self.options = options

    def __call__(self, *arguments: Tensor, **keywords: Any) -> Any:
        tensors = {"arguments": list(arguments), "keywords": {**keywords, **self.options}}
        return tracked(self.process, "call", tensors, target=self.target, in_parts=self.in_parts)


class RemoteLayer:
    """A layer of the package in the process."""

    def __init__(self, process: Process, number: int, tensors: Mapping[str, Tensor], learned: Sequence[str]) -> None:
        self.process = process
        self.number = number
        self.tensors = tensors
        self.learned = learned

    def __call__(self, x: Tensor, tensors: Mapping[str, Tensor], past: object = None, **options: object) -> tuple[Tensor, object]:
        given = {"x": x, "tensors": dict(tensors), "options": options}
        o, cache = tracked(self.process, "layer_call", given, layer=self.number, past=past)
        return o, cache


class RemoteLayers:
    """The constructor of the package's layer in the process."""

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.name = name

    def __call__(self, seed: int, **arguments: object) -> RemoteLayer:
        made = self.process.request("layer", name=self.name, keywords=arguments, seed=seed)
        return RemoteLayer(self.process, made["layer"], made["tensors"], made["learned"])

    def shapes(self) -> Mapping[str, Sequence[int]]:
        found: Mapping[str, Sequence[int]] = self.process.request("widths", name=self.name)
        return found


def tracked(process: Process, verb: str, tensors: Any, **given: Any) -> Any:
    """The answer to a request whose `tensors`, a dictionary, are differentiable: gradients flow through the other process."""
    places, leaves = wire.numbered(tensors)
    if not torch.is_grad_enabled() or not any(leaf.requires_grad for leaf in leaves):
        return process.request(verb, **tensors, **given, tracked=False)["result"]
    call = _Call(process, verb, places, given)
    found = _Remote.apply(call, *leaves)  # type: ignore[no-untyped-call]
    return wire.fill_tensors(call.result, found)
