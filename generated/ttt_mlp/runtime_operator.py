"""Operators of torch.library around launches of kernels: their schemas, buffers, gradients and batching rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .runtime_launch import Buffer, Launcher, LaunchTable, Sizes
from .runtime_transforms import function_of, one_by_one

NO_WIDTHS = "BTHSC"  # letters of axes that no input gives a width for: batch, tokens, heads, slots, tokens of a tile


@dataclass
class Operator:
    """One pass over the tokens: `launches` in their order, from `inputs` to `results`.

    `inputs` are names with the letters of their axes, in which H is the heads and S the slots of tiles. Every result is a buffer that one
    of the launches makes. A buffer that is no result lives from the launch that makes it to the last one that reads it.

    `like` is the input whose shape and type are those of the tokens.
    A reverse pass has `carried` states, whose cotangent d_<name> each part of the tiles reads and writes as d_<name>_next.
    """

    table: LaunchTable
    name: str
    inputs: Mapping[str, str]
    results: tuple[str, ...]
    launches: tuple[Launcher, ...]
    carried: tuple[str, ...] = ()
    like: str = "q"
    buffers: dict[str, Buffer] = field(init=False)

    def __post_init__(self) -> None:
        self.buffers = {name: buffer for launch in self.launches for name, buffer in launch.makes.items()}
        self.own = [name for name, buffer in self.buffers.items() if name not in self.results and buffer.kind != "starts"]
        self.steps = [self.step(number) for number in range(len(self.launches))]
        self.widths: dict[str, tuple[str, int]] = {}  # by letter: an input, and its axis with that width
        for name, axes in self.inputs.items():
            for place, letter in enumerate(axes):
                if letter not in NO_WIDTHS:
                    self.widths.setdefault(letter, (name, place))
        arguments = ", ".join([f"Tensor x{number}" for number in range(len(self.inputs))])
        schema = f"({arguments}, Tensor? position, Tensor? cu_seqlens, str grid, bool save)"
        results = ", ".join(["Tensor"] * len(self.results))
        self.op = torch.library.custom_op(free_name(self), self.run, mutates_args=(), schema=f"{schema} -> ({results})")
        self.op.register_fake(self.fake)
        self.op.register_vmap(self.batched)

    def resumed(self, starts: Mapping[str, str]) -> Operator:
        """The pass over chunks that go on: it takes the states that entered them first, and a reverse pass gives their gradients first."""
        results = (*(f"d_{name}" for name in starts), *self.results) if self.carried else self.results
        return Operator(self.table, f"resumed_{self.name}", {**starts, **self.inputs}, results, self.launches, self.carried, self.like)

    def step(self, number: int) -> tuple[Launcher, tuple[str, ...], dict[str, Buffer], list[str]]:
        """A launch, its tensors, the buffers that it makes, and those that no later launch reads."""
        launch = self.launches[number]
        earlier = {name for each in self.launches[:number] for name in each.makes}
        later = {name for each in self.launches[number + 1 :] for name in each.tensors}
        makes = {name: launch.makes[name] for name in launch.makes if name in self.own and name not in earlier}
        return launch, launch.tensors, makes, [name for name in launch.tensors if name in self.own and name not in later]

    def __call__(self, tensors: Sequence[Tensor], position: Tensor | None, cu_seqlens: Tensor | None, grid: str, save: bool = True) -> Any:
        """The results, a tuple of tensors, of inputs in their order."""
        return self.op(*tensors, position, cu_seqlens, grid, save)

    def run(self, *arguments: Any) -> Tensor | tuple[Tensor, ...]:
        """Allocates the results, launches, and returns the results; one result by itself, as operators of torch.library do."""
        *tensors, position, cu_seqlens, grid, save = arguments
        found = {name: x.contiguous() for name, x in zip(self.inputs, tensors, strict=True)}
        position, cu_seqlens = (None if x is None else x.contiguous() for x in (position, cu_seqlens))
        sizes = self.sizes(found, position, cu_seqlens, grid, save)
        self.allocate_results(sizes, found)
        if not self.carried:
            self.launch(sizes, found)
        else:
            for name in self.carried:  # those that no cotangent comes for are sums over tiles
                if f"d_{name}" not in found:
                    found[f"d_{name}"] = self.buffers[f"d_{name}_next"].allocate(sizes, found).zero_()
            numbers = sum(count * sizes.numbers(widths) for widths, count in self.kept_tiles().items())
            for part in sizes.parts(numbers):
                self.launch(part, found)
                found |= {f"d_{name}": found[f"d_{name}_next"] for name in self.carried}
        return self.finished(found)

    def finished(self, found: Mapping[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        results = tuple(self.buffers[name].finish(found[name], found) for name in self.results)
        return results if len(results) > 1 else results[0]

    def fake(self, *arguments: Any) -> Tensor | tuple[Tensor, ...]:
        """The results of tensors without values."""
        *tensors, position, cu_seqlens, grid, save = arguments
        found = dict(zip(self.inputs, tensors, strict=True))
        self.allocate_results(self.sizes(found, position, cu_seqlens, grid, save), found)
        return self.finished(found)

    def sizes(self, found: Mapping[str, Tensor], position: Tensor | None, cu_seqlens: Tensor | None, grid: str, save: bool) -> Sizes:
        """The sizes of a call; launches of several kernels exchange buffers, which are needed even where nothing is saved."""
        lengths = {letter: found[name].shape[axis] for letter, (name, axis) in self.widths.items()}
        return Sizes(self.table, found[self.like], lengths, position, cu_seqlens, grid, save or len(self.launches) > 1)

    def allocate_results(self, sizes: Sizes, found: dict[str, Tensor]) -> None:
        """Adds the results to the tensors by name."""
        for name in self.results:
            found[name] = self.buffers[name].allocate(sizes, found)

    def launch(self, sizes: Sizes, found: dict[str, Tensor]) -> None:
        """Starts kernel after kernel, with the buffers that each needs."""
        for launch, tensors, makes, done in self.steps:
            for name, buffer in makes.items():
                found[name] = buffer.allocate(sizes, found)
            launch(sizes, [found.get(name) for name in tensors])  # a whole chunk has no state of its own that entered it
            for name in done:
                del found[name]

    def kept_tiles(self) -> Counter[str]:
        """The number of tiles, by their widths, that the launches keep of every tile of tokens; a number where they keep rows alone."""
        widths = [self.buffers[name].widths for name in self.own if self.buffers[name].kind != "sequences"]
        return Counter(each for each in widths if len(each) == 2) or Counter({"": 1})

    def batched(self, info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        """The rule for torch.vmap: the mapped axis becomes more heads, since heads know nothing of each other."""
        number = int(info.batch_size)
        if any(dim is not None for dim in in_dims[len(self.inputs) :]):
            return one_by_one(self.op, number, in_dims, arguments)  # heads share positions and borders
        more = [more_heads(x, dim, axes.index("H"), number) for x, dim, axes in zip(arguments, in_dims, self.inputs.values(), strict=False)]
        results = tupled(self.op(*more, *arguments[len(self.inputs) :]))
        places = [2 if self.buffers[name].kind == "rows" else 1 for name in self.results]
        sizes = [(number, x.shape[at] // number) for x, at in zip(results, places, strict=True)]
        found = [x.reshape(*x.shape[:at], *size, *x.shape[at + 1 :]) for x, at, size in zip(results, places, sizes, strict=True)]
        return (tuple(found), tuple(places)) if len(found) > 1 else (found[0], places[0])


def tupled(results: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (results,) if isinstance(results, Tensor) else results


def more_heads(x: Tensor, dim: int | None, heads: int, number: int) -> Tensor:
    """A tensor whose axis `heads` holds the heads of all that is mapped over, along `dim`; repeated where it is not mapped over."""
    x = x.unsqueeze(heads).expand(*x.shape[:heads], number, *x.shape[heads:]) if dim is None else x.movedim(dim, heads)
    return x.flatten(heads, heads + 1)


def free_name(operator: Operator) -> str:
    """A name for torch.library that no operator of this process has: two packages of one name keep their own kernels."""
    space = f"miras_{operator.table.name}_{operator.table.digest}"
    name, number = operator.name, 1
    while hasattr(getattr(torch.ops, space), name):
        number += 1
        name = f"{operator.name}_{number}"
    return f"{space}::{name}"


class Differentiable:
    """A forward operator and its reverse one, whose inputs are inputs and results of the forward one, then cotangents of its first results.

    These first results are visible; the others are buffers for the reverse operator, which has no gradients itself.
    """

    def __init__(self, forward: Operator, backward: Operator) -> None:
        self.forward, self.backward = forward, backward
        known = {*forward.inputs, *forward.results}
        self.kept = [name for name in backward.inputs if name in known]
        self.visible = len(backward.inputs) - len(self.kept)
        forward.op.register_autograd(self.differentiate, setup_context=self.save)
        backward.op.register_autograd(refuse_second_derivatives, setup_context=keep_nothing)
        self.run = function_of(forward.op, self.save, self.differentiate)
        self.run_backward = function_of(backward.op, keep_nothing, refuse_second_derivatives)

    def __call__(self, tensors: Sequence[Tensor], position: Tensor | None, cu_seqlens: Tensor | None, grid: str) -> Any:
        """The visible results, a tuple of tensors."""
        return tupled(self.run(*tensors, position, cu_seqlens, grid, torch.is_grad_enabled()))[: self.visible]

    def resumed(self, starts: Mapping[str, str]) -> Differentiable:
        """The same for chunks that go on: it takes `starts` first, the values that entered them, here with the letters of their axes."""
        return Differentiable(self.forward.resumed(starts), self.backward.resumed(starts))

    def save(self, ctx: Any, inputs: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        """Keeps the inputs of the reverse operator."""
        *tensors, position, cu_seqlens, grid, _ = inputs
        output = tupled(output)
        found = {**dict(zip(self.forward.inputs, tensors, strict=True)), **dict(zip(self.forward.results, output, strict=True))}
        ctx.save_for_backward(*(found[name] for name in self.kept), position, cu_seqlens)
        ctx.grid = grid
        ctx.seen = [(x.shape, x.dtype, x.device) for x in output[: self.visible]]
        ctx.set_materialize_grads(False)

    def differentiate(self, ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradient of every input; those of parameters are sums over shares, and all have the types of their inputs."""
        *kept, position, cu_seqlens = ctx.saved_tensors
        found = dict(zip(self.kept, kept, strict=True))
        pairs = zip(ctx.seen, gradients, strict=False)  # buffers get no cotangent
        cotangents = [torch.zeros(size, dtype=dtype, device=device) if x is None else x for (size, dtype, device), x in pairs]
        results = tupled(self.run_backward(*kept, *cotangents, position, cu_seqlens, ctx.grid, True))
        pairs_of = zip(self.forward.inputs.items(), results, strict=False)  # inputs that are 0 have no gradient, and are the last
        found_gradients = [typed(x, axes, found.get(name)) for (name, axes), x in pairs_of]
        return (*found_gradients, *[None] * (len(self.forward.inputs) - len(results)), None, None, None, None)


def typed(x: Tensor, axes: str, like: Tensor | None) -> Tensor:
    """The gradient of an input: that of a parameter [H, ...] is a sum over shares, that of rows before tiles [S, H, ...] has their type."""
    if like is None or axes[0] not in "HS":
        return x
    return (x.sum(0) if axes[0] == "H" else x).to(like.dtype)


def keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """A reverse operator keeps nothing: it is not differentiated."""


def refuse_second_derivatives(ctx: Any, *gradients: Tensor) -> Any:
    raise RuntimeError("the kernels have no second derivatives; backend='torch' has")
