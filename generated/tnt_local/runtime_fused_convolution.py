# mypy: disable-error-code="import-not-found, import-untyped"
"""The short convolution, silu and length 1 as one operator of torch.library: a kernel forward, another one backward.

The backward kernel computes sums and silu again from the inputs; nothing else is kept for it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from .runtime_convolution_kernels import convolve, convolve_backward
from .runtime_launch import first_line, quotient
from .runtime_limits import power_of_two
from .runtime_opaque import define, keep_nothing, names
from .runtime_rows import above_float16
from .runtime_triton import CannotLaunch

TILE = 4  # tokens that a program loads at once: with 8, the backward kernel has more numbers than registers
COLUMNS = 128  # channels of a warp, 4 of each thread
WIDEST = 2048  # channels of a head of length 1, which one program holds
LONGEST = TILE + 1  # tokens of a window
ENOUGH = 4096  # programs that keep a GPU busy: with more tokens, each does more of them
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LIBRARY = "miras_convolution"
NAME = next(name for name in names("convolve") if not hasattr(getattr(torch.ops, LIBRARY), name))  # packages keep their own kernels


@dataclass(frozen=True)
class Programs:
    """The programs of a call: x [B, T, C], with windows of `lead` tokens and the one behind them; heads of `unit` channels, or none."""

    x: Tensor
    weight: Tensor
    past: Tensor | None
    cu_seqlens: Tensor | None
    silu: bool
    unit: int

    @property
    def lead(self) -> int:
        return len(self.weight) - 1

    @property
    def members(self) -> int:
        """The number of sequences."""
        return self.x.shape[0] if self.cu_seqlens is None else self.cu_seqlens.shape[0] - 1

    @property
    def columns(self) -> int:
        """The channels of a group, and more up to a power of two."""
        channels = power_of_two(self.x.shape[2])
        return power_of_two(self.unit) if self.unit else min(COLUMNS, channels)

    @property
    def groups(self) -> int:
        """The groups of a program."""
        return max(1, COLUMNS // self.columns) if self.unit else 1

    @property
    def blocks(self) -> int:
        """The programs for all channels of a token."""
        return quotient(self.x.shape[2], self.groups * (self.unit or self.columns))

    @property
    def tiles(self) -> int:
        """The tiles of a program."""
        batch, tokens, _ = self.x.shape
        return min(max(1, batch * tokens * self.blocks // (ENOUGH * TILE)), quotient(tokens, TILE))

    @property
    def parts(self) -> int:
        """The programs for all tokens of a row."""
        return quotient(self.x.shape[1], TILE * self.tiles)

    def start(self, kernel: Any, *tensors: Tensor | None, **more: bool) -> None:
        """Starts a kernel. Raises CannotLaunch where it does not run here."""
        batch, tokens, channels = self.x.shape
        warps = max(1, self.groups * self.columns // COLUMNS)
        try:
            kernel[(batch * self.parts, self.blocks)](
                self.x, self.weight, self.past, self.cu_seqlens, *tensors, tokens, self.members, self.parts, self.tiles,
                C=channels, D=self.unit or self.columns, G=self.groups, COLUMNS=self.columns, LEAD=self.lead, TILE=TILE,
                SILU=self.silu, UNIT=self.unit > 0, PACKED=self.cu_seqlens is not None, PAST=self.past is not None, **more,
                num_warps=warps, num_stages=1, maxnreg=128,
            )  # fmt: skip
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:  # of Triton, of its compiler, or of the C compiler that it calls
            told = f"{type(problem).__name__}: {first_line(problem)}"
            text = f"the short convolution: no launch works with Triton {triton.__version__} ({told}); use MIRAS_BACKEND=torch"
            raise CannotLaunch(text) from problem


def forward(x: Tensor, weight: Tensor, past: Tensor | None, cu_seqlens: Tensor | None, silu: bool, unit: int) -> tuple[Tensor, Tensor]:
    programs = Programs(x.contiguous(), weight.contiguous(), dense(past), dense(cu_seqlens), silu, unit)
    y, tail = forward_shapes(x, weight, past, cu_seqlens, silu, unit)
    programs.start(convolve, y, tail)
    return y, tail


def forward_shapes(
    x: Tensor, weight: Tensor, past: Tensor | None, cu_seqlens: Tensor | None, silu: bool, unit: int
) -> tuple[Tensor, Tensor]:
    members = x.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    return above_float16(x.new_empty(x.shape)), x.new_empty(members, len(weight) - 1, x.shape[2])


def backward(
    x: Tensor,
    weight: Tensor,
    past: Tensor | None,
    cu_seqlens: Tensor | None,
    d_y: Tensor,
    d_tail: Tensor | None,
    silu: bool,
    unit: int,
) -> tuple[Tensor, Tensor, Tensor]:
    programs = Programs(x.contiguous(), weight.contiguous(), dense(past), dense(cu_seqlens), silu, unit)
    d_x, shares = x.new_empty(x.shape), x.new_empty(len(x) * programs.parts, *weight.shape, dtype=torch.float32)
    d_past = x.new_empty(0)
    if past is not None:  # a sequence without tokens hands its past on
        d_past = torch.zeros_like(past, memory_format=torch.contiguous_format) if d_tail is None else d_tail.to(past.dtype).clone()
    programs.start(convolve_backward, d_y.contiguous(), dense(d_tail), d_x, shares, d_past, TAIL=d_tail is not None)
    return d_x, shares.sum(0).to(weight.dtype), d_past


def backward_shapes(
    x: Tensor,
    weight: Tensor,
    past: Tensor | None,
    cu_seqlens: Tensor | None,
    d_y: Tensor,
    d_tail: Tensor | None,
    silu: bool,
    unit: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape), x.new_empty(0 if past is None else past.shape)


def dense(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, past, cu_seqlens, ctx.silu, ctx.unit = inputs
    ctx.save_for_backward(x, weight, past, cu_seqlens)
    ctx.seen = output[0].shape, output[0].dtype
    ctx.set_materialize_grads(False)


def differentiate(ctx: Any, d_y: Tensor | None, d_tail: Tensor | None) -> tuple[Tensor | None, ...]:
    x, weight, past, cu_seqlens = ctx.saved_tensors
    shape, dtype = ctx.seen
    d_y = x.new_zeros(shape, dtype=dtype) if d_y is None else d_y
    d_x, d_weight, d_past = run_backward(x, weight, past, cu_seqlens, d_y, d_tail, ctx.silu, ctx.unit)
    return d_x, d_weight, None if past is None else d_past, None, None, None


def refuse_second_derivatives(ctx: Any, *gradients: Tensor) -> Any:
    raise RuntimeError("the kernels of the short convolution have no second derivatives; MIRAS_BACKEND=torch has")


GIVEN = "Tensor x, Tensor weight, Tensor? past, Tensor? cu_seqlens"
DEFINED = torch.library.Library(LIBRARY, "FRAGMENT")  # type: ignore[no-untyped-call]
run_backward = define(
    DEFINED,
    f"{NAME}_backward({GIVEN}, Tensor d_y, Tensor? d_tail, bool silu, int unit) -> (Tensor, Tensor, Tensor)",
    backward, backward_shapes, keep_nothing, refuse_second_derivatives,
)  # fmt: skip
fused = define(DEFINED, f"{NAME}({GIVEN}, bool silu, int unit) -> (Tensor, Tensor)", forward, forward_shapes, save, differentiate)

launches: dict[tuple[object, ...], bool] = {}  # whether the kernels run here, by precisions and widths


def can_launch(x: Tensor, weight: Tensor, past: Tensor | None, cu_seqlens: Tensor | None, silu: bool, unit: int) -> bool:
    """True if the kernels run on this GPU for such inputs: tried once, on zeros of a tile and a token, forward and backward.

    Where they do not, one warning says why.
    """
    key = (x.device, x.dtype, weight.dtype, *weight.shape, past is None, cu_seqlens is None, silu, unit)
    if key not in launches:
        launches[key] = works(x, weight, past, cu_seqlens, silu, unit)
    return launches[key]


def works(x: Tensor, weight: Tensor, past: Tensor | None, cu_seqlens: Tensor | None, silu: bool, unit: int) -> bool:
    tried = x.new_zeros(1, TILE + 1, x.shape[2], requires_grad=True)
    before = None if past is None else past.new_zeros(1, *past.shape[1:])
    borders = None if cu_seqlens is None else cu_seqlens.new_tensor([0, TILE + 1])
    try:
        with torch.enable_grad():
            y, _ = fused(tried, torch.zeros_like(weight), before, borders, silu, unit)
        torch.autograd.grad(y.float().sum(), tried)
    except CannotLaunch as problem:
        warnings.warn(f"the short convolution runs in PyTorch: {problem}", stacklevel=6)
        return False
    return True
