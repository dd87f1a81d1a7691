"""The operators of a package whose state waits for the end of a chunk: kernels for the tokens of a chunk, PyTorch for its end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .runtime_call import Computes
from .runtime_chunk import LEAST, Finish, finished
from .runtime_contract import Named, Returned
from .runtime_form import Form
from .runtime_kernels import argument_of, read_start
from .runtime_operator import Differentiable
from .runtime_precision import without_autocast
from .runtime_state import State


@dataclass(frozen=True)
class WaitingKernels(Computes):
    """The parallel form, chunk after chunk. `tiles` gives the outputs of a chunk and its sums of surprises, from the weights that enter it.

    `other` is the form in PyTorch, for packed sequences and for those that go on within a chunk.
    """

    tiles: Differentiable
    finish: Finish
    other: Form

    def compute(
        self, tokens: Named, parameters: Named, initial_state: Named | None, output_final_state: bool, cu_seqlens: Tensor | None
    ) -> Returned:
        """The outputs, and the final state if asked for."""
        length, chunk = tokens["q"].shape[1], self.contract.chunk
        if cu_seqlens is not None or length == 0 or (initial_state is not None and "position" in initial_state):
            return self.other.compute(tokens, parameters, initial_state, output_final_state, cu_seqlens, tile=chunk)
        state: State = read_start(self.contract, tokens, parameters, initial_state, cu_seqlens)
        prepared = self.contract.prepared(tokens, parameters)
        outputs, first = [], 0
        with without_autocast(tokens["q"].device):
            while first < length:  # a range would be made of one length, and a compiled graph serve that one alone
                part = {name: x[:, first : first + chunk] for name, x in prepared.items()}
                o, state = self.chunk(part, parameters, state)
                outputs.append(o)
                first += chunk
        if not output_final_state:
            return torch.cat(outputs, 1), None
        state["position"] = torch.full_like(state["position"], length % chunk)
        if length % chunk == 0:
            state |= {f"{name}_start": state[name] for name in self.contract.weights}
        return torch.cat(outputs, 1), {name: state[name] for name in self.contract.state}

    def chunk(self, tokens: Named, parameters: Named, state: State) -> tuple[Tensor, State]:
        """The outputs of the tokens of a chunk, and the state behind them."""
        weights = self.contract.weights
        entered = {f"{name}_entered": state[name] for name in weights}
        none = {f"{name}_pending": torch.zeros_like(state[name]) for name in weights}
        given = {**parameters, **entered, **none}
        inputs = [argument_of(name, tokens, given).contiguous() for name in self.tiles.forward.inputs]
        o, *sums = self.tiles(inputs, None, None, "whole")
        kept, share = decay(tokens.get("log_alpha")), mean(tokens["log_mu"], self.contract.chunk)
        sums_of = {name.removesuffix("_pending"): x for name, x in zip(self.summed, sums, strict=True)}
        behind = {f"{name}_start": state[name] for name in weights}
        for name in weights:
            behind[name] = state[name] if kept is None else kept * state[name]
            behind[f"{name}_momentum"] = state[f"{name}_momentum"]
            behind[f"{name}_pending"] = share * state[f"{name}_momentum"] + sums_of[name]
        return o, finished({**state, **behind}, o.shape[1] == self.contract.chunk, weights, self.finish)

    @property
    def summed(self) -> list[str]:
        """The sums, in the order in which the kernels return them."""
        return [name for name in self.tiles.forward.inputs if name.endswith("_pending")]


def decay(logs: Tensor | None) -> Tensor | None:
    """[B, H, 1, 1]: the product of the decays of a chunk, whose logarithms are [B, T, H]; None where nothing decays."""
    return None if logs is None else logs.float().clamp(min=LEAST).sum(1).exp()[..., None, None]


def mean(logs: Tensor, chunk: int) -> Tensor:
    """[B, H, 1, 1]: the sum of the decays of a chunk's tokens, divided by the length of a full one."""
    return (logs.float().clamp(min=LEAST).exp().sum(1) / chunk)[..., None, None]
