# mypy: disable-error-code="import-not-found, import-untyped"
"""Launches of a package's kernels on a GPU: the launch table, the sizes of one call, and the launches of one kernel."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .runtime_limits import named, power_of_two, refusal, refused_operands
from .runtime_triton import CannotLaunch, TooLarge

JUST_NUMBERS = ["T", "members", "low", "high"]  # arguments for whose divisors Triton compiles no kernels of their own
TYPES = {torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}  # the types to which operands of products may be rounded
ANY = 1 << 30  # a width above all others
PAST = "L"  # rows of tokens before a tile
NARROW = 32  # columns of a block, see `Launcher.safe`


class LaunchRow(NamedTuple):
    """A launch, for widths up to `width`: warps, stages, the part of an axis that a program holds at once, most registers of a thread."""

    width: int
    warps: int
    stages: int = 1
    part: int = 64
    registers: int = 255


@dataclass
class LaunchTable:
    """The launches of the kernels of the package `name`; `digest` is that of its spec.

    `tile` tokens are computed at once; no width is padded to less than `least`. `options` are the rows of every kernel. The backward pass
    keeps buffers of at most `at_once` bytes for a part of the tiles and goes from the last part to the first, but runs at least `enough`
    programs at once, so that no processor of a GPU waits for work.
    `failed` are launches that did not work here: the kernel, the largest width, and the width of the row.
    """

    name: str
    digest: str
    tile: int
    least: int
    options: dict[str, tuple[LaunchRow, ...]]
    at_once: int = 1 << 30
    enough: int = 2048
    failed: set[tuple[str, int, int]] = field(default_factory=set)

    def rows(self, kernel: str, width: int) -> list[LaunchRow]:
        """The rows of a kernel that have not failed for this width: those that are wide enough first."""
        rows = sorted(self.options[kernel], key=lambda row: width > row.width)
        return [row for row in rows if (kernel, width, row.width) not in self.failed]


class Sizes:
    """The sizes of one call, which its launches share: lengths, the grid of tiles, and the begin of each sequence.

    `like` is a token tensor [B, T, H, K]; `lengths` are those of the other axes by their letters. `position` [members] is how many tokens
    each sequence is into its chunk, `cu_seqlens` [members + 1] the borders of packed sequences. `grid` is one of the words of
    runtime_device_tiles. Buffers of single tiles are empty unless `save`.
    """

    def __init__(
        self,
        table: LaunchTable,
        like: Tensor,
        lengths: Mapping[str, int],
        position: Tensor | None,
        cu_seqlens: Tensor | None,
        grid: str,
        save: bool = True,
    ) -> None:
        self.table, self.like = table, like
        self.batch, self.tokens, self.heads = like.shape[:3]
        self.members = self.batch if cu_seqlens is None else cu_seqlens.shape[0] - 1
        self.lengths = {**lengths, "C": table.tile, "H": self.heads}
        self.slots = self.members if grid == "resumed" else self.batch * self.tokens // table.tile + self.members
        if cu_seqlens is None and grid != "resumed":
            self.slots = self.members * quotient(self.tokens, table.tile)
        self.low, self.high = 0, self.slots  # the slots of a part
        self.position, self.cu_seqlens, self.grid, self.save = position, cu_seqlens, grid, save

    @property
    def narrow(self) -> torch.dtype:
        """The type of operands and of narrow buffers: that of the tokens. States may leave the range of float16, so it becomes float32."""
        return torch.float32 if self.like.dtype == torch.float16 else self.like.dtype

    def parts(self, numbers: int) -> Iterator[Sizes]:
        """The slots in few parts, the last part first; a tile and head of a part keeps so many narrow `numbers`."""
        if self.slots == 0:
            yield self
            return
        slots = max(self.table.at_once // (numbers * self.heads * self.narrow.itemsize), quotient(self.table.enough, self.heads))
        slots = quotient(self.slots, quotient(self.slots, slots))
        if self.cu_seqlens is None:
            slots = quotient(slots, self.members) * self.members  # whole tiles of every sequence
        for low in reversed(range(0, self.slots, slots)):
            part = copy.copy(self)
            part.low, part.high = low, min(low + slots, self.slots)
            yield part

    def numbers(self, widths: str) -> int:
        """The number of entries in a tile of these widths."""
        return math.prod(self.lengths[width] for width in widths)

    def rows(self, widths: str, dtype: torch.dtype) -> Tensor:
        """A token tensor; 0 in rows that no tile of the grid may hold."""
        shape = [self.batch, self.tokens, self.heads, *(self.lengths[width] for width in widths)]
        make = torch.empty if self.grid == "whole" and self.cu_seqlens is None else torch.zeros
        return make(shape, dtype=dtype, device=self.like.device)

    def sequences(self, widths: str) -> Tensor:
        """A tile per sequence and head, in float32."""
        return self.tiles(self.members, widths, torch.float32)

    def slots_of(self, widths: str, narrow: bool) -> Tensor:
        """A tile per tile of tokens of the part, and per head."""
        return self.tiles(self.high - self.low if self.save else 0, widths, self.narrow if narrow else torch.float32)

    def tiles(self, number: int, widths: str, dtype: torch.dtype) -> Tensor:
        """So many tiles for every head, not yet written."""
        shape = [number, self.heads, *(self.lengths[width] for width in widths)]
        return torch.empty(shape, dtype=dtype, device=self.like.device)


class Buffer(NamedTuple):
    """A tensor that a kernel writes, over tiles of some `widths`.

    kind: "rows" of a token tensor, in the type of the input that it is `like`; "sequences", a tile for each; "starts", a tile for each
    sequence whose chunk goes on; "slots", a tile for every tile of tokens, `narrow` or in float32; "totals", sums for every sequence;
    "shares", the part of a sum that each tile of tokens adds, or a tile for every one. A kernel that writes rows `partly` finds them 0.
    """

    kind: str
    widths: str
    narrow: bool = False
    like: str = "q"
    partly: bool = False

    def allocate(self, sizes: Sizes, found: Mapping[str, Tensor]) -> Tensor:
        """The tensor for one call; `found` are the tensors by name."""
        if self.kind == "rows":
            rows = sizes.rows(self.widths, found[self.like].dtype)
            return rows.zero_() if self.partly else rows
        if self.kind == "sequences":
            return sizes.sequences(self.widths)
        if self.kind in ("totals", "starts"):
            return sizes.sequences(self.widths).zero_()
        if self.kind == "shares":
            return sizes.slots_of(self.widths, narrow=False).zero_()  # 0 in slots without tokens
        return sizes.slots_of(self.widths, self.narrow)

    def finish(self, x: Tensor, found: Mapping[str, Tensor]) -> Tensor:
        """The tensor as a result, once all kernels have run."""
        return x


@dataclass(frozen=True)
class Launcher:
    """The launch of one kernel.

    It `walks` over the tiles of a sequence, or runs them all at once; it takes `widths`. Of the axis `split` every program does a part; the
    axis `blocked` it takes part after part, where there is more than one by the kernel `wide` if there is such a kernel. It writes the
    buffers `makes`. `operands` are those of its products over features, as pairs.
    """

    table: LaunchTable
    kernel: Any
    name: str
    walks: bool
    widths: str
    makes: Mapping[str, Buffer] = field(default_factory=dict)
    split: str = ""
    blocked: str = ""
    wide: Any = None
    operands: tuple[tuple[str, str], ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the kernel's tensors, in its order."""
        names = (name for name in self.kernel.arg_names if name not in ("position_ptr", "cu_ptr"))
        return tuple(name.removesuffix("_ptr") for name in names if name.endswith("_ptr"))

    @property
    def held(self) -> tuple[str, ...]:
        """The widths of the tiles that a program holds."""
        whole = [buffer for buffer in self.makes.values() if not buffer.partly]
        return tuple(dict.fromkeys(("C" if buffer.kind == "rows" else "") + buffer.widths for buffer in whole))

    def __call__(self, sizes: Sizes, tensors: Sequence[Tensor | None]) -> None:
        """Starts the kernel by the first launch that works here, with a warning if that is not the first of the table.

        Raises TooLarge for widths that do not fit, and CannotLaunch where no launch works.
        """
        failures: list[tuple[LaunchRow, Exception]] = []
        largest = max((power_of_two(max(self.table.least, sizes.lengths[width])) for width in self.widths), default=0)
        for row in self.table.rows(self.name, largest):
            self.check_size(sizes, row)
            try:
                self.start(sizes, tensors, row)
            except torch.OutOfMemoryError:
                raise
            except Exception as problem:  # of Triton, of its compiler, or of the C compiler that it calls
                self.table.failed.add((self.name, largest, row.width))
                failures.append((row, problem))
                continue
            for failed, reason in failures:
                told = f"{self.name}: the launch with {failed.warps} warps and {failed.stages} stages fails here: {first_line(reason)}"
                warnings.warn(f"{self.table.name}: {told}; another one is used", stacklevel=2)
            return
        raise self.cannot_launch(sizes, [problem for _, problem in failures])

    def cannot_launch(self, sizes: Sizes, problems: Sequence[Exception]) -> CannotLaunch:
        """The error for widths at which no launch works; of too little shared memory it tells the bytes and the widths that need less."""
        cause = problems[-1] if problems else None
        lengths = {width: sizes.lengths[width] for width in self.widths}
        if problems and all(isinstance(problem, triton.OutOfResources) for problem in problems):
            least: Any = min(problems, key=lambda problem: problem.required)  # type: ignore[attr-defined]
            rest, nearest = least.required, {width: power_of_two(length) for width, length in lengths.items()}
            while rest > least.limit and max(nearest.values(), default=1) > 1:
                nearest[max(nearest, key=lambda width: nearest[width])] //= 2
                rest //= 2
            has = f"{named(lengths)} takes {least.required} bytes of {least.name}, of which there are {least.limit}"
            error: CannotLaunch = TooLarge(f"{self.name}: {has}; {named(nearest)} should fit; use MIRAS_BACKEND=torch")
        else:
            told = f"{type(cause).__name__}: {first_line(cause)}"
            error = CannotLaunch(f"{self.name}: no launch works with Triton {triton.__version__} ({told}); use MIRAS_BACKEND=torch")
        error.__cause__ = cause
        return error

    def check_size(self, sizes: Sizes, row: LaunchRow) -> None:
        """Raises TooLarge for widths at which a tile does not fit into registers."""
        lengths = {width: sizes.lengths[width] for width in self.widths}
        blocks = {name[1:]: block for name, block in self.blocks(sizes, row).items()}
        told = refused_operands(self.operands, lengths, blocks, sizes.narrow.itemsize)
        told = told or refusal(self.held, lengths, blocks, together=False)
        if told:
            raise TooLarge(f"{self.name}: a tile with {told}; use MIRAS_BACKEND=torch")

    def blocks(self, sizes: Sizes, row: LaunchRow) -> dict[str, int]:
        """The lengths that a program holds at once of every axis, by the names of the kernel's arguments.

        A product of 16-bit operands takes no axis of less than 64: by 4 warps, and by no other number of them, blocks of 16 and of 32 keys
        beside 64 values gave wrong gradients on an H200 (those of delta_net by a factor of 10^6).
        """
        table, least = self.table, self.table.least if sizes.narrow == torch.float32 else max(self.table.least, 2 * NARROW)
        blocks = {f"B{width}": power_of_two(max(least, sizes.lengths[width])) for width in self.widths}
        if PAST in self.widths:
            blocks[f"B{PAST}"] = power_of_two(max(16, sizes.lengths[PAST]))
        for axis in filter(None, (self.split, self.blocked)):
            blocks[f"B{axis}"] = min(blocks[f"B{axis}"], row.part)
        return blocks | {"BC": power_of_two(max(16, table.tile))}

    def is_wide(self, sizes: Sizes, row: LaunchRow) -> bool:
        """True where the axis `blocked` is wider than a program holds at once: it takes part after part."""
        return bool(self.blocked) and sizes.lengths[self.blocked] > self.blocks(sizes, row)[f"B{self.blocked}"]

    def safe(self, sizes: Sizes, row: LaunchRow) -> LaunchRow:
        """The row, with other warps and stages where Triton 3.6 compiles it into an illegal access or wrong results on Hopper.

        With 8 warps it gives all of them rows of their own, of which a tile of 64 tokens has half as many, where a product goes into
        another one: 4 warps compute tiles of 32 columns. Loops over narrow blocks that load nothing ahead (one stage) went wrong in 49 of
        54 tries on an H200, those that do in none of 104.
        """
        blocks, warps, stages = self.blocks(sizes, row), row.warps, row.stages
        if NARROW in blocks.values():
            warps = min(warps, 4)
        loops = (self.walks and self.split) or (self.is_wide(sizes, row) and self.blocked)
        if loops and blocks[f"B{loops}"] <= NARROW and sizes.narrow != torch.float32:
            warps, stages = min(warps, 4), max(stages, 2)
        return row._replace(warps=warps, stages=stages)

    def start(self, sizes: Sizes, tensors: Sequence[Tensor | None], row: LaunchRow) -> None:
        """Starts the kernel by one row of its table, or by one that is safe."""
        table, row = self.table, self.safe(sizes, row)
        kernel = self.wide if self.wide and self.is_wide(sizes, row) else self.kernel
        lengths, blocks = {width: sizes.lengths[width] for width in self.widths}, self.blocks(sizes, row)
        stages = 1 if sizes.narrow == torch.float32 else row.stages  # two tiles of float32 at once take more shared memory than there is
        numbers = sizes.members if self.walks else sizes.high - sizes.low
        parts = quotient(lengths[self.split], row.part) if self.split else 1
        kernel[(numbers * sizes.heads, parts)](
            *tensors, sizes.position, sizes.cu_seqlens, sizes.tokens, sizes.members, sizes.low, sizes.high,
            H=sizes.heads, C=table.tile, **lengths, **blocks, DOT=TYPES[sizes.narrow], GRID=sizes.grid,
            PACKED=sizes.cu_seqlens is not None, SAVE=sizes.save,
            num_warps=row.warps, num_stages=stages, maxnreg=min(row.registers, 2048 // row.warps),
        )  # fmt: skip


def first_line(problem: Exception | None) -> str:
    """The message of an error, without the text of a program or of a traceback behind it."""
    return next(iter(str(problem).strip().splitlines()), "")[:200]


def quotient(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
