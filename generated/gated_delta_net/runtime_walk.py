"""Walks over tokens on a GPU: how the two kernels that take a state from token to token, forward and in reverse, are started.

One program runs one head of one sequence, or a share of its values where nothing is summed over them and the state is too large for one.
The forward kernel leaves the state before every segment of tokens as a checkpoint. The reverse kernel computes the states of a segment
again, keeps them, and goes back over them; its programs do one head after another, which bounds the memory that they keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .runtime_call import Computes
from .runtime_contract import Named, Returned
from .runtime_kernels import argument_of, read_start
from .runtime_launch import ANY, TYPES, Buffer, Launcher, LaunchRow, Sizes, quotient
from .runtime_limits import power_of_two, refusal, shared_out
from .runtime_operator import Differentiable, Operator
from .runtime_triton import TooLarge

JUST_NUMBERS = ["T", "SEGMENT", "members"]  # arguments for whose divisors Triton compiles no kernels of their own
KEPT = 1 << 30  # bytes of states that the programs of a reverse kernel keep together


class WalkSizes(Sizes):
    """A walk's lengths: its slots are those of segments, as long as the table's tile.

    So many `programs` run a kernel, and `shares` of them do a head together. `segment` are the tokens from one checkpoint to the next.
    """

    programs, shares, segment = 0, 1, 0


class Kept(Buffer):
    """Tiles of the state for every token of a segment and every program of a reverse kernel."""

    def allocate(self, sizes: Sizes, found: Mapping[str, Tensor]) -> Tensor:
        """The tensor for one call, not yet written."""
        assert isinstance(sizes, WalkSizes)
        shape = [sizes.programs, sizes.segment, *(sizes.lengths[width] for width in self.widths)]
        return torch.empty(shape, dtype=torch.float32, device=sizes.like.device)


class Shares(Buffer):
    """Rows of a token tensor of which every program of a head gives a term."""

    def allocate(self, sizes: Sizes, found: Mapping[str, Tensor]) -> Tensor:
        """The tensor of terms for one call; 0 where no token may be."""
        assert isinstance(sizes, WalkSizes)
        rows = sizes.rows(self.widths, torch.float32 if sizes.shares > 1 else found[self.like].dtype)
        return rows.new_zeros([sizes.shares, *rows.shape]) if sizes.shares > 1 else rows[None]

    def finish(self, x: Tensor, found: Mapping[str, Tensor]) -> Tensor:
        """The sum of the terms, in the type of the input that it is `like`."""
        return x.sum(0).to(found[self.like].dtype) if len(x) > 1 else x[0]


class Sums(Buffer):
    """Sums over tokens, for every row of the input that it is `like`."""

    def allocate(self, sizes: Sizes, found: Mapping[str, Tensor]) -> Tensor:
        """Zeros."""
        return torch.zeros_like(found[self.like], dtype=torch.float32, memory_format=torch.contiguous_format)


@dataclass
class WalkOperator(Operator):
    """A pass over the tokens by one kernel. `segment` is the number of tokens between two checkpoints (0: the table's tile)."""

    segment: int = 0

    def sizes(self, found: Mapping[str, Tensor], position: Tensor | None, cu_seqlens: Tensor | None, grid: str, save: bool) -> Sizes:
        lengths = {letter: found[name].shape[axis] for letter, (name, axis) in self.widths.items()}
        sizes = WalkSizes(self.table, found[self.like], lengths, position, cu_seqlens, grid, save)
        numbers = sum(sizes.numbers(buffer.widths) for buffer in self.buffers.values() if isinstance(buffer, Kept))
        length = self.segment or self.table.tile
        sizes.segment = min(length, sizes.tokens)
        room = KEPT // (4 * length * numbers) if numbers else ANY
        sizes.programs = max(1, min(sizes.members * sizes.heads, room))
        sizes.shares = max(launch.shares(sizes) for launch in self.launches if isinstance(launch, WalkLauncher))
        return sizes


@dataclass(frozen=True)
class WalkLauncher(Launcher):
    """The launch of a kernel that walks over tokens, with the rule's chunk and window; it carries tiles with the widths `states`."""

    chunk: int = 1
    window: int = 1
    states: tuple[str, ...] = ()

    def check_size(self, sizes: Sizes, row: LaunchRow) -> None:
        """Raises TooLarge for widths at which the state does not fit into registers."""
        lengths = {width: sizes.lengths[width] for width in self.widths}
        told = refusal(self.states, lengths, self.held_at_once(sizes), together=True, split=self.split)
        if told:
            raise TooLarge(f"{self.name}: a state with {told}")

    def held_at_once(self, sizes: Sizes) -> dict[str, int]:
        """The lengths that a program holds of every width, by letter; of `split` as much as fits."""
        padded = {width: power_of_two(max(self.table.least, int(sizes.lengths[width]))) for width in self.widths}
        return shared_out(self.states, padded, self.split)

    def shares(self, sizes: Sizes) -> int:
        """The number of programs that do a head together."""
        return quotient(sizes.lengths[self.split], self.held_at_once(sizes)[self.split]) if self.split else 1

    def blocks(self, sizes: Sizes, row: LaunchRow) -> dict[str, int]:
        """The blocks of the widths, and the rows of a window."""
        return {f"B{width}": block for width, block in self.held_at_once(sizes).items()} | {"BC": power_of_two(max(16, self.window))}

    def safe(self, sizes: Sizes, row: LaunchRow) -> LaunchRow:
        """The row: it holds a state, not products of tiles of tokens."""
        return row

    def start(self, sizes: Sizes, tensors: Sequence[Tensor | None], row: LaunchRow) -> None:
        """Starts the kernel by one row of its table."""
        assert isinstance(sizes, WalkSizes)
        lengths = {width: sizes.lengths[width] for width in self.widths}
        flags = {"PACKED": sizes.cu_seqlens is not None, "SAVE": sizes.save, "SHARED": sizes.shares > 1}
        flags = {name: flag for name, flag in flags.items() if name in self.kernel.arg_names}
        self.kernel[(sizes.programs, sizes.shares)](
            *tensors, sizes.position, sizes.cu_seqlens, sizes.tokens, sizes.segment, sizes.members,
            H=sizes.heads, CHUNK=self.chunk, ROWS=self.window, **lengths, **self.blocks(sizes, row), DOT=TYPES[sizes.narrow], **flags,
            num_warps=row.warps, num_stages=1, maxnreg=min(row.registers, 2048 // row.warps),
        )  # fmt: skip


@dataclass(frozen=True)
class WalkKernels(Computes):
    """The operator of a package by a walk. `arguments` are the inputs of `operator` in their order, `entries` those of the state.

    A gate of the user's own has a name in code that ends in underscores.
    """

    operator: Operator | Differentiable
    entries: tuple[str, ...]
    arguments: tuple[str, ...]

    def compute(
        self, tokens: Named, parameters: Named, initial_state: Named | None, output_final_state: bool, cu_seqlens: Tensor | None
    ) -> Returned:
        """The outputs, and the final state if asked for."""
        contract, q = self.contract, tokens["q"]
        state = read_start(contract, tokens, parameters, initial_state, cu_seqlens)
        prepared = contract.prepared(tokens, parameters)
        borders = cu_seqlens if contract.writes is None or cu_seqlens is None else contract.writes.number * cu_seqlens
        window, position = contract.window, state.get("position")
        walked: dict[str, Tensor] = {}
        if window is not None:
            walked = window.walk_rows(prepared, parameters, state, cu_seqlens)
        inputs = [argument_of(name, prepared, {**parameters, **state, **walked}) for name in self.arguments]
        if isinstance(self.operator, Operator):
            o, *following = self.operator(inputs, position, borders, "whole", save=False)
        else:
            o, *following = self.operator(inputs, position, borders, "whole")
        o = (o if contract.writes is None else contract.writes.outputs(o)).to(q.dtype)
        if not output_final_state:
            return o, None
        final = dict(zip(self.entries, following, strict=False))
        if position is not None:
            final["position"] = (position + (q.shape[1] if cu_seqlens is None else cu_seqlens.diff())) % contract.chunk
        if window is not None:
            final |= window.walk_final(prepared, walked, state, cu_seqlens)
        return o, {name: final[name] for name in contract.state}
