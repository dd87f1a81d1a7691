"""Walks over the tokens of all chunks at once, from the states that kernels over tiles give for the start of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .runtime_chunk import begun
from .runtime_contract import Named, Returned
from .runtime_kernels import argument_of, read_start
from .runtime_operator import Differentiable
from .runtime_slots import Slots
from .runtime_walk import WalkKernels


@dataclass(frozen=True)
class ChunkWalkKernels(WalkKernels):
    """The operator of a package whose chunks depend on one another by the state at their start alone.

    `starts` gives the states behind the sequences and at the start of every chunk; `of_chunks` the outputs, of chunks packed as sequences.
    A sequence that goes on within a chunk walks as a whole.
    """

    starts: Differentiable
    of_chunks: Differentiable

    def compute(
        self, tokens: Named, parameters: Named, initial_state: Named | None, output_final_state: bool, cu_seqlens: Tensor | None
    ) -> Returned:
        """The outputs, and the final state if asked for."""
        q = tokens["q"]
        if (initial_state is not None and "position" in initial_state) or q.shape[0] * q.shape[1] == 0:
            return super().compute(tokens, parameters, initial_state, output_final_state, cu_seqlens)
        state = read_start(self.contract, tokens, parameters, initial_state, cu_seqlens)
        tokens = self.contract.prepared(tokens, parameters)
        inputs, names = self.starts.forward.inputs, [name for name in self.starts.forward.inputs if name in state]
        given = [argument_of(name, tokens, {**parameters, **state}).contiguous() for name in inputs]
        found = self.starts.run(*given, None, cu_seqlens, "whole", True)
        behind, entering = (dict(zip(names, part, strict=True)) for part in (found[: len(names)], found[len(names) : 2 * len(names)]))
        chunks = Chunks(q.shape[0], q.shape[1], self.contract.chunk, cu_seqlens, q.device)
        rows, others = {name: x.flatten(0, 1)[None] for name, x in tokens.items()}, {**parameters, **entering}
        packed = [argument_of(name, rows, others) for name in self.of_chunks.forward.inputs]
        (o,) = self.of_chunks(packed, chunks.sizes, chunks.firsts, "whole")
        o = o.reshape(*q.shape[:2], *o.shape[2:])
        return o, self.final(behind, entering, chunks) if output_final_state else None

    def final(self, behind: Mapping[str, Tensor], entering: Mapping[str, Tensor], chunks: Chunks) -> dict[str, Tensor]:
        """The state behind the last tokens: `behind` them, and `entering` their chunks."""
        position, state = chunks.lengths % self.contract.chunk, self.contract.state
        starts = {f"{name}_start": x[chunks.last] for name, x in entering.items() if f"{name}_start" in state}
        final = {**begun({**behind, **starts}, position == 0), "position": position}
        return {name: final[name] for name in state}


class Chunks:
    """The chunks of a batch of sequences [B, T], or of packed ones, in the order of the slots of tiles.

    `firsts` [chunks + 1] are their first tokens among all B·T, and the end of all; `sizes` [chunks] the numbers of their tokens. `lengths`
    [sequences] are those of sequences, `last` [sequences] the slots of their last chunks.
    """

    def __init__(self, batch: int, tokens: int, chunk: int, cu_seqlens: Tensor | None, device: torch.device) -> None:
        slots = Slots(batch, tokens, chunk, cu_seqlens, device)
        self.lengths, self.last = slots.lengths, slots.last
        self.firsts = torch.cat([slots.firsts[slots.sequence] + slots.before, slots.firsts[-1:]])
        self.sizes = (self.lengths[slots.sequence] - slots.before).clamp(0, chunk)
