"""The operators of a package by its kernels: states in and out, and chunks that the state is in the middle of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .runtime_call import Computes
from .runtime_chunk import begun, chosen
from .runtime_contract import Named, OperatorContract, Returned, read_lengths
from .runtime_operator import Differentiable
from .runtime_state import read_state

FEATURES = "_features"  # products round them as they do all rows of tokens
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def read_start(
    contract: OperatorContract, tokens: Named, parameters: Named, initial_state: Named | None, cu_seqlens: Tensor | None
) -> dict[str, Tensor]:
    """The state that a checked call begins with; raises ValueError for wrong arguments."""
    lengths = read_lengths(contract, tokens, parameters, cu_seqlens)
    q = tokens["q"]
    if q.dtype not in DTYPES:
        raise ValueError(f"q: expected float32, bfloat16 or float16 for the Triton kernels, got {q.dtype}")
    return read_state(contract, initial_state, lengths, q.device, torch.float32)


def argument_of(name: str, tokens: Named, others: Named) -> Tensor:
    """The tensor of an argument in code, where a gate of the user's own that is called like another argument ends in an underscore."""
    return others[name] if name in others else tokens[name.rstrip("_")]


@dataclass(frozen=True)
class ChunkKernels(Computes):
    """The parallel form. `carried` are the entries of the state that go from tile to tile.

    Where surprises are taken at the state that entered the chunk, `starts` are the entries <name>_start of that state, with the letters of
    their axes; where reads follow a linear path from it, also log_beta, whose next value `decay` gives.
    """

    whole: Differentiable
    carried: tuple[str, ...]
    starts: Mapping[str, str] = field(default_factory=dict)
    decay: Callable[..., Tensor] | None = None
    resumed: Differentiable | None = field(init=False, default=None)  # for the chunk that a state is in the middle of

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.starts:
            object.__setattr__(self, "resumed", self.whole.resumed(self.starts))

    def compute(
        self, tokens: Named, parameters: Named, initial_state: Named | None, output_final_state: bool, cu_seqlens: Tensor | None
    ) -> Returned:
        """The outputs, and the final state if asked for."""
        state = read_start(self.contract, tokens, parameters, initial_state, cu_seqlens)
        tokens = self.contract.prepared(tokens, parameters)
        tokens = {name: x.to(tokens["q"].dtype) if name.endswith(FEATURES) else x for name, x in tokens.items()}
        if self.resumed is None:
            return self.by_rows(tokens, parameters, state, output_final_state, cu_seqlens)
        window = self.contract.window
        lines = {} if window is None else window.past_lines(tokens, state, cu_seqlens)

        def inputs(grid: str) -> list[Tensor]:
            more = window.tile_rows(tokens, parameters, state, lines, self.contract.chunk, cu_seqlens, grid) if window is not None else {}
            return self.inputs({**tokens, **more}, parameters)

        carried = [state[name].contiguous() for name in self.carried]
        starts = [state[name].contiguous() for name in self.starts]
        position = state["position"]
        if initial_state is None or "position" not in initial_state:
            o, *carried = self.whole((*inputs("whole"), *carried), None, cu_seqlens, "whole")
        else:
            o_resumed, *carried = self.resumed((*starts, *inputs("resumed"), *carried), position, cu_seqlens, "resumed")
            o, *carried = self.whole((*inputs("after"), *carried[: len(self.carried)]), position, cu_seqlens, "after")
            o = o + o_resumed  # each row is 0 in one of them
        if not output_final_state:
            return o, None
        carried, last = carried[: len(self.carried)], carried[len(self.carried) :]
        final = dict(zip(self.carried, carried, strict=True))
        end = position + (o.shape[1] if cu_seqlens is None else cu_seqlens.diff())
        # still in the chunk that the state came with, or where it was
        goes_on = (end == position) | ((position > 0) & (end < self.contract.chunk))
        final = begun(final | dict(zip(self.starts, last, strict=False)), end % self.contract.chunk == 0)
        final |= {name: chosen(goes_on, start, final[name]) for name, start in zip(self.starts, starts, strict=True) if name in final}
        if self.decay is not None:
            given = state["log_beta"], position, end
            final["log_beta"] = self.decay(tokens["log_alpha"], *given, self.contract.chunk, cu_seqlens)
        if window is not None:
            final |= window.walk_final(tokens, lines, state, cu_seqlens)
        return o, {**final, "position": end % self.contract.chunk}

    def by_rows(self, tokens: Named, parameters: Named, state: Named, output_final_state: bool, cu_seqlens: Tensor | None) -> Returned:
        """The same where a chunk changes nothing. The rows of a token's writes, or of its window, are tokens of the kernels."""
        writes, window = self.contract.writes, self.contract.window
        number, by_row = 1 if writes is None else writes.number, tokens
        walked: dict[str, Tensor] = {}
        if window is not None:
            walked, number = window.walk_rows(tokens, parameters, state, cu_seqlens), window.size
            by_row = window.tokens_by_row(tokens, walked, cu_seqlens)
        borders = cu_seqlens if cu_seqlens is None or number == 1 else number * cu_seqlens
        inputs = [*self.inputs(by_row, parameters), *(state[name].contiguous() for name in self.carried)]
        o, *carried = self.whole(inputs, None, borders, "whole")
        o = o if writes is None else writes.outputs(o)
        o = o if window is None else window.outputs(o, 1)
        if not output_final_state:
            return o, None
        final = dict(zip(self.carried, carried, strict=True))
        return o, final if window is None else final | window.walk_final(tokens, walked, state, cu_seqlens)

    def inputs(self, tokens: Named, parameters: Named) -> list[Tensor]:
        """The inputs of the operator less the states, in its order."""
        names = list(self.whole.forward.inputs)[: -len(self.carried)]
        return [argument_of(name, tokens, parameters).contiguous() for name in names]
