"""Walks over tokens on a GPU: the operators around two kernels that take a state from token to token, forward and in reverse.

One program runs one head of one sequence. The forward kernel leaves the state at every `segment`-th token as a checkpoint; the reverse one
computes the states of a segment again, and goes back over them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .runtime_triton import CannotLaunch

LEAST = 16  # the narrowest that a width is padded to
KEPT = 1 << 30  # bytes of states that the reverse kernel keeps, by which the number of its programs is limited
MOST = 1 << 18  # numbers of a padded tile
JUST_NUMBERS = ["T", "SEGMENT", "members"]  # no compilation of their own for numbers that divide well
FAILED: set[tuple[Any, ...]] = set()  # launches that did not work here


def power_of_two(n: int) -> int:
    """The least that is no less."""
    return 1 << (n - 1).bit_length()


@triton.jit
def add_rows(x_ptr, at_row, row, here, at, WIDTH: tl.constexpr, x):
    """Adds [rows, columns] to a token tensor, behind a barrier: other warps may have added to the same rows for the token before."""
    tl.debug_barrier()
    mask = here[:, None] & (at < WIDTH)[None, :]
    place = x_ptr + at_row * WIDTH + (row[:, None] * WIDTH + at[None, :])
    tl.store(place, tl.load(place, mask=mask, other=0.0) + x, mask=mask)


@triton.jit
def add_numbers(x_ptr, at_row, row, here, x):
    """Adds [rows] to a token tensor with one number per token and head, likewise."""
    tl.debug_barrier()
    place = x_ptr + at_row + row
    tl.store(place, tl.load(place, mask=here, other=0.0) + x, mask=here)


@dataclass(frozen=True)
class Walk:
    """The kernels of a package and what they take: names and, as letters, the widths of each tensor behind tokens and heads.

    Of a token there is a row in each of `tokens`; `windows` have the rows of the tokens before a sequence in front of it. The state has a
    tile per sequence and head, parameters one per head. `kept` are the states that the reverse kernel keeps of every token of a segment.
    """

    library: str
    forward: Any
    backward: Any
    tokens: Mapping[str, str]
    windows: Mapping[str, str]
    parameters: Mapping[str, str]
    states: Mapping[str, str]
    kept: Mapping[str, str]
    chunk: int
    window: int
    operator: Callable[..., list[Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", register(self))

    @property
    def inputs(self) -> dict[str, str]:
        return {**self.tokens, **self.windows, **self.parameters, **self.states}

    def __call__(self, given: Mapping[str, Tensor], position: Tensor | None, cu_seqlens: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """o [B, T, H, V] in the dtype of q, and the next state; `given` are the inputs by name."""
        tensors = [given[name].contiguous() for name in self.inputs]
        save = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
        o, *results = self.operator(tensors, given["q"].dtype, position, cu_seqlens, save)
        return o, dict(zip(self.states, results, strict=False))


class Sizes:
    """Lengths of one call, and the tensors that its kernels write."""

    def __init__(self, walk: Walk, tensors: Sequence[Tensor], position: Tensor | None, cu_seqlens: Tensor | None) -> None:
        named = dict(zip(walk.inputs, tensors, strict=True))
        first = named[next(iter(walk.tokens))]
        self.walk, self.named = walk, named
        self.batch, self.tokens, self.heads = first.shape[:3]
        self.position, self.cu_seqlens, self.device = position, cu_seqlens, first.device
        self.members = self.batch if cu_seqlens is None else cu_seqlens.shape[0] - 1
        self.lengths: dict[str, int] = {}
        for name, widths in walk.inputs.items():
            self.lengths.update(zip(widths, named[name].shape[named[name].dim() - len(widths) :], strict=True))
        self.segment = power_of_two(max(8, math.isqrt(self.tokens)))
        self.slots = self.members * -(-self.tokens // self.segment)
        if cu_seqlens is not None:
            self.slots = self.tokens // self.segment + self.members

    def tensor(self, shape: Iterable[int], widths: str, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty([*shape, *(self.lengths[width] for width in widths)], dtype=dtype, device=self.device)

    def results(self, dtype: torch.dtype, save: bool) -> list[Tensor]:
        """o, the next state, and checkpoints."""
        o = self.tensor((self.batch, self.tokens, self.heads), "V", dtype)
        states = [self.tensor((self.members, self.heads), widths) for widths in self.walk.states.values()]
        slots = self.slots if save else 0
        return [o, *states, *(self.tensor((slots, self.heads), widths) for widths in self.walk.states.values())]

    def gradients(self) -> list[Tensor]:
        """Of every input, in its order; of parameters a share per sequence, of the rows of windows a sum to begin with."""
        made = []
        for name, widths in self.walk.inputs.items():
            if name in self.walk.windows:
                made.append(torch.zeros_like(self.named[name], dtype=torch.float32))
            elif name in self.walk.tokens:
                made.append(torch.empty_like(self.named[name]))
            else:
                made.append(self.tensor((self.members, self.heads), widths))
        return made

    @property
    def programs(self) -> int:
        """Of the reverse kernel: no more than what they keep has room for."""
        numbers = sum(math.prod(self.lengths[width] for width in widths) for widths in self.walk.kept.values())
        return max(1, min(self.members * self.heads, KEPT // (4 * self.segment * max(1, numbers))))


def start(
    kernel: Any,
    sizes: Sizes,
    programs: int,
    dtype: torch.dtype,
    tensors: Sequence[Tensor],
    numbers: Sequence[int],
    flags: Mapping[str, bool],
) -> None:
    """Starts a kernel with as many warps as its tiles ask for, with others where that does not work; raises CannotLaunch."""
    walk = sizes.walk
    lengths = {width: sizes.lengths[width] for width in dict.fromkeys("".join(walk.inputs.values())) if width != "W"}
    blocks = {f"B{width}": power_of_two(max(LEAST, length)) for width, length in lengths.items()}
    blocks["BC"] = power_of_two(max(LEAST, walk.window))
    largest = max(math.prod(blocks[f"B{width}"] for width in widths) for widths in walk.states.values())
    if largest > MOST:
        raise CannotLaunch(f"a tile of the state has {largest} numbers when its widths are padded, and at most {MOST} are walked with")
    warps = 4 if largest <= 64 * 64 else 8 if largest <= 64 * 128 else 16
    narrow = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16, torch.float32: tl.float32}[dtype]
    failure: Exception | None = None
    for count in dict.fromkeys((warps, 8, 16)):
        launch = (kernel, *blocks.values(), count)
        if launch in FAILED:
            continue
        try:
            kernel[(programs,)](
                *tensors, sizes.position, sizes.cu_seqlens, *numbers, H=sizes.heads, CHUNK=walk.chunk, ROWS=walk.window, **lengths,
                **blocks, DOT=narrow, **flags, num_warps=count, num_stages=1, maxnreg=min(255, 2048 // count),
            )  # fmt: skip
            return
        except torch.OutOfMemoryError:
            raise
        except (triton.TritonError, RuntimeError) as problem:
            FAILED.add(launch)
            failure = problem
            warnings.warn(f"{walk.library}: the launch with {count} warps fails here: {problem}", stacklevel=2)
    raise CannotLaunch(f"{walk.library}: no launch works with Triton {triton.__version__}; use MIRAS_BACKEND=torch") from failure


def register(walk: Walk) -> Callable[..., list[Tensor]]:
    """The operator of a walk, known to torch.library: tensors in the order of `inputs` to o, the next state and checkpoints."""

    def forward(
        tensors: Sequence[Tensor], dtype: torch.dtype, position: Tensor | None, cu_seqlens: Tensor | None, save: bool
    ) -> list[Tensor]:
        sizes = Sizes(walk, tensors, position, cu_seqlens)
        results = sizes.results(dtype, save)
        flags = {"PACKED": cu_seqlens is not None, "SAVE": save}
        programs = sizes.members * sizes.heads
        start(walk.forward, sizes, programs, dtype, [*tensors, *results], [sizes.tokens, sizes.segment], flags)
        return results

    def forward_like(
        tensors: Sequence[Tensor], dtype: torch.dtype, position: Tensor | None, cu_seqlens: Tensor | None, save: bool
    ) -> list[Tensor]:
        return Sizes(walk, tensors, position, cu_seqlens).results(dtype, save)

    def backward(
        tensors: Sequence[Tensor], checkpoints: Sequence[Tensor], cotangents: Sequence[Tensor], position: Tensor | None,
        cu_seqlens: Tensor | None,
    ) -> list[Tensor]:  # fmt: skip
        sizes = Sizes(walk, tensors, position, cu_seqlens)
        gradients = sizes.gradients()
        rows_and_parameters = tensors[: len(tensors) - len(walk.states)]
        kept = [sizes.tensor((sizes.programs, sizes.segment), widths) for widths in walk.kept.values()]
        given = [*rows_and_parameters, *checkpoints, *cotangents, *gradients, *kept]
        flags = {"PACKED": cu_seqlens is not None}
        start(walk.backward, sizes, sizes.programs, cotangents[0].dtype, given, [sizes.tokens, sizes.segment, sizes.members], flags)
        return gradients

    def backward_like(
        tensors: Sequence[Tensor], checkpoints: Sequence[Tensor], cotangents: Sequence[Tensor], position: Tensor | None,
        cu_seqlens: Tensor | None,
    ) -> list[Tensor]:  # fmt: skip
        return Sizes(walk, tensors, position, cu_seqlens).gradients()

    forward_op = torch.library.custom_op(
        f"{walk.library}::walk", forward, mutates_args=(),
        schema="(Tensor[] tensors, ScalarType dtype, Tensor? position, Tensor? cu_seqlens, bool save) -> Tensor[]",
    )  # fmt: skip
    forward_op.register_fake(forward_like)
    if walk.backward is None:
        return forward_op
    backward_op = torch.library.custom_op(
        f"{walk.library}::walk_back", backward, mutates_args=(),
        schema="(Tensor[] tensors, Tensor[] checkpoints, Tensor[] cotangents, Tensor? position, Tensor? cu_seqlens) -> Tensor[]",
    )  # fmt: skip
    backward_op.register_fake(backward_like)
    count = len(walk.states)

    def keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        tensors, _, position, cu_seqlens, _ = inputs
        ctx.save_for_backward(*tensors, *output[1 + count :], position, cu_seqlens)
        ctx.given = len(tensors)
        ctx.like = [(x.shape, x.dtype, x.device) for x in output[: 1 + count]]
        ctx.set_materialize_grads(False)

    def differentiate(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
        *saved, position, cu_seqlens = ctx.saved_tensors
        cotangents = []
        for (shape, dtype, device), x in zip(ctx.like, gradients, strict=False):
            cotangents.append(torch.zeros(shape, dtype=dtype, device=device) if x is None else x.contiguous())
        found = backward_op(saved[: ctx.given], saved[ctx.given :], cotangents, position, cu_seqlens)
        result = []
        for name, x, gradient in zip(walk.inputs, saved, found, strict=False):
            result.append((gradient.sum(0) if name in walk.parameters else gradient).to(x.dtype))
        return result, None, None, None, None

    forward_op.register_autograd(differentiate, setup_context=keep)
    return forward_op


def with_past(x: Tensor, window: Tensor, cu_seqlens: Tensor | None) -> Tensor:
    """The tokens of every sequence behind those of its window: [B, T, H, …] and [N, H, L, …] to [B · T + N · L, H, …]."""
    past = window.transpose(1, 2)
    if cu_seqlens is None:
        return torch.cat((past, x), 1).flatten(0, 1)
    return torch.cat((x.flatten(0, 1).to(past.dtype), past.flatten(0, 1)))[places_with_past(x.shape[1], past.shape[1], cu_seqlens)]


def places_with_past(tokens: int, past: int, cu_seqlens: Tensor) -> Tensor:
    """Of every row of packed sequences with their windows in front, where it stands among the tokens, then the rows of windows."""
    members = cu_seqlens.shape[0] - 1
    begins = cu_seqlens[:-1] + past * torch.arange(members, device=cu_seqlens.device)
    row = torch.arange(tokens + past * members, device=cu_seqlens.device)
    n = torch.searchsorted(begins, row, right=True) - 1
    offset = row - begins[n]
    return torch.where(offset < past, tokens + n * past + offset, cu_seqlens[n] + offset - past)


def last_rows(rows: Tensor, past: int, shape: tuple[int, int], cu_seqlens: Tensor | None) -> Tensor:
    """[N, H, L, …]: the last tokens of every sequence, from `with_past` of tokens [B, T]."""
    batch, tokens = shape
    if cu_seqlens is None:
        return rows.unflatten(0, (batch, tokens + past))[:, tokens:].transpose(1, 2)
    members = cu_seqlens.shape[0] - 1
    ends = cu_seqlens[1:] + past * torch.arange(members, device=cu_seqlens.device)
    return rows[ends[:, None] + torch.arange(past, device=cu_seqlens.device)].transpose(1, 2)


def row_weights(gamma: Tensor, length: Tensor, cu_seqlens: Tensor | None) -> Tensor:
    """gamma [B, T, H, W] by the rows of each token's window, oldest first, 0 for those that are not there; `length` [N] of the past."""
    window, place = gamma.shape[3], torch.arange(gamma.shape[1], device=gamma.device)
    known = length[:, None]
    if cu_seqlens is not None:
        n = torch.searchsorted(cu_seqlens, place, right=True) - 1
        place, known = place - cu_seqlens[n], length[n][None]
    there = place[..., None] + torch.arange(window, device=gamma.device) >= (window - 1 - known)[..., None]
    return torch.where(there[:, :, None], gamma.flip(-1), 0.0)
