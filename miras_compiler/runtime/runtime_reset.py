"""Memories that begin anew: at every n-th token of a sequence the state before it is the initial one.

The tokens between two resets are a sequence of their own, which knows nothing of the others: all of them run side by side, as packed
sequences do, and so at the cost of a sequence as long as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .runtime_borders import sequence_numbers
from .runtime_chunk import chosen
from .runtime_contract import Computed, OperatorContract, Returned, read_lengths
from .runtime_state import State, as_entries, read_state
from .runtime_tensor import wide_type
from .runtime_values import holds, may_look

INITIAL = "_initial"  # suffix of the entries that hold the initial state


@dataclass(frozen=True)
class Reset:
    """A state lives for `length` tokens; `position` counts them, and begins at 0 again."""

    length: int

    def inside(self, contract: OperatorContract) -> OperatorContract:
        """The contract of the tokens between two resets: it has no initial state to return to, and positions in chunks alone."""
        kept = {name: axes for name, axes in contract.state.items() if not name.endswith(INITIAL)}
        if contract.chunk == 1:
            del kept["position"]
        return replace(contract, state=kept, segments=None)

    def call(
        self,
        contract: OperatorContract,
        compute: Computed,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        output_final_state: bool,
        cu_seqlens: Tensor | None,
    ) -> Returned:
        """The outputs [B, T, H, V], and the final state if asked for. Raises ValueError for wrong arguments."""
        lengths, q = read_lengths(contract, tokens, parameters, cu_seqlens), tokens["q"]
        state = self.read(contract, initial_state, lengths, q)
        begun = isinstance(initial_state, Mapping) and "position" in initial_state
        pieces = Pieces(self.length, state["position"] if begun else None, lengths, cu_seqlens, q.device)
        of_pieces = {name: pieces.start(name, x, state) for name, x in state.items() if name in self.inside(contract).state}
        if "position" in of_pieces:
            of_pieces["position"] = of_pieces["position"] % contract.chunk
            if not begun:
                del of_pieces["position"]
        # an exported graph serves every number of pieces
        whole = not torch.compiler.is_exporting() and pieces.number == lengths["sequences"] and cu_seqlens is None
        given = tokens if whole else {name: x.flatten(0, 1)[None] for name, x in tokens.items()}
        o, final = compute(given, parameters, of_pieces, output_final_state, None if whole else pieces.borders)
        if not whole:
            o = o.reshape(lengths["B"], -1, *o.shape[2:])
        return o, self.final(contract, pieces, state, final) if final is not None else None

    def read(self, contract: OperatorContract, given: Mapping[str, Tensor] | None, lengths: Mapping[str, int], q: Tensor) -> State:
        """The state of every sequence, with the one that it returns to: without such the weights that are given."""
        entries, weights = as_entries(contract, given), contract.weights
        missing = [f"{name}{INITIAL}" for name in weights if entries is None or f"{name}{INITIAL}" not in entries]
        position = (entries or {}).get("position")
        if missing and isinstance(position, Tensor) and may_look(position) and holds((position != 0).any()):
            raise ValueError(f"initial_state: expected {', '.join(missing)} of a state at position {position.tolist()}: it returns to them")
        state = read_state(contract, entries, lengths, q.device, wide_type(q.dtype))
        return state | {name: state[name.removesuffix(INITIAL)] for name in missing}

    def final(self, contract: OperatorContract, pieces: Pieces, state: State, final: Mapping[str, Tensor]) -> State:
        """The state behind the last token of every sequence; where that was the last before a reset, the state behind the reset."""
        behind = {**state, "position": pieces.behind}
        behind |= {name: pieces.last(x) for name, x in final.items() if name != "position"}
        return {name: fresh(name, behind[name], behind, behind["position"] == 0) for name in contract.state}


class Pieces:
    """The stretches of sequences between resets: their `number`, and their `borders` in one row of all tokens.

    There are as many as there can be in so many tokens: sequences that are not needed have no token. No number is read from a tensor.
    """

    def __init__(
        self, length: int, position: Tensor | None, lengths: Mapping[str, int], cu_seqlens: Tensor | None, device: torch.device
    ) -> None:
        tokens, sequences = lengths["T"], lengths["sequences"]
        ends = torch.arange(sequences + 1, device=device) * tokens if cu_seqlens is None else cu_seqlens.to(torch.int64)
        counts = ends.diff()
        at = torch.zeros_like(counts) if position is None else position.to(torch.int64)
        if cu_seqlens is not None:
            self.number = tokens // length + (1 if position is None else 2) * sequences
        else:  # of one sequence at most so many tokens are in front of its first border
            self.number = sequences if tokens == 0 else sequences * -(-(tokens + (0 if position is None else length - 1)) // length)
        own = ((counts + at + length - 1) // length).clamp(min=1)  # of each sequence
        firsts = torch.cat((own.new_zeros(1), own.cumsum(0)))
        self.sequence = sequence_numbers(firsts, self.number)
        before = torch.arange(self.number, device=device) - firsts[self.sequence]  # resets between the sequence's first token and the piece
        first = (before * length - at[self.sequence]).clamp(min=0)
        starts = ends[self.sequence] + torch.minimum(first, counts[self.sequence])
        self.borders = torch.cat((starts, ends[-1:])).to(torch.int32)
        self.begins = (before > 0) | (at[self.sequence] == 0)  # anew
        self.ends = firsts[1:] - 1  # the last piece of each sequence
        self.behind = (at + counts) % length

    def start(self, name: str, x: Tensor, state: State) -> Tensor:
        """An entry of the state that each piece begins with."""
        return fresh(name, x[self.sequence], {each: of[self.sequence] for each, of in state.items() if each.endswith(INITIAL)}, self.begins)

    def last(self, x: Tensor) -> Tensor:
        """Of an entry behind every piece, that behind each sequence."""
        return x[self.ends]


def fresh(name: str, x: Tensor, initial: Mapping[str, Tensor], begins: Tensor) -> Tensor:
    """An entry [N, ...] as it is where a memory begins: the initial weight, and for all but weights 0."""
    if name.endswith(INITIAL) or name == "position":
        return torch.where(begins, 0, x) if name == "position" else x
    begin = initial.get(f"{name.removesuffix('_start')}{INITIAL}", torch.zeros_like(x))
    return chosen(begins, begin, x)
