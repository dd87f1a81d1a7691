"""The token loop around a package's `step`: packed sequences, chunks, windows, and the state from token to token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .runtime_chunk import begun, finished
from .runtime_contract import Call, Returned, read_call
from .runtime_even import Even, Slice
from .runtime_form import Form
from .runtime_precision import without_autocast
from .runtime_state import State


class Trace(NamedTuple):
    """Per token [B, T, H]: ℓ, ‖e‖ and ‖g‖ at the weights where the surprise is measured, and ‖A‖ after it."""

    loss: Tensor
    error: Tensor
    surprise: Tensor
    state: Tensor


class TokenForm(Form):
    """A rule as a loop over tokens: the function takes a token, and returns its output, the next state, and ℓ, ‖e‖, ‖g‖, ‖A‖."""

    kind = "recurrent"

    def trace(
        self,
        tokens: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        initial_state: Mapping[str, Tensor] | None,
        cu_seqlens: Tensor | None,
    ) -> Trace:
        """The measures of the memory at every token; ℓ, ‖e‖ and ‖g‖ at every write, where a token has several."""
        writes = 1 if self.contract.writes is None else self.contract.writes.number

        def measures(
            tokens: Mapping[str, Tensor],
            parameters: Mapping[str, Tensor],
            initial_state: Mapping[str, Tensor] | None,
            output_final_state: bool,
            cu_seqlens: Tensor | None,
        ) -> Returned:
            call = read_call(self.contract, tokens, parameters, initial_state, cu_seqlens)
            with without_autocast(call.tokens["q"].device):
                _, state, (*of_writes, size) = self.measured(call)
            return torch.stack([*of_writes, size.repeat_interleave(writes, 1)], -1), state

        measured, _ = self.call(measures, tokens, parameters, initial_state, False, cu_seqlens)
        loss, error, surprise, size = measured.unbind(-1)
        return Trace(loss, error, surprise, size[:, ::writes])

    def run(self, call: Call, tile: int) -> tuple[Tensor, State]:
        return self.measured(call)[:2]

    def measured(self, call: Call) -> tuple[Tensor, State, Trace]:
        """All sequences of a call, one after another where they are packed; 0 at tokens that belong to none."""
        outputs, states, traces = zip(*map(self.sequence, call.sequences()), strict=True)
        state = states[0] if len(states) == 1 else {name: torch.cat([each[name] for each in states]) for name in states[0]}
        length = call.size[1]
        o, *measures = (padded(torch.cat(parts, 1), length) for parts in (outputs, *zip(*traces, strict=True)))
        if self.contract.writes is not None:
            o, measures[3] = self.contract.writes.outputs(o), self.contract.writes.after(measures[3])
        return o, state, Trace(*measures)

    def sequence(self, call: Call) -> tuple[Tensor, State, Trace]:
        """A batch of sequences of equal length, as a loop over their tokens."""
        contract, length = self.contract, call.size[1]
        v = call.tokens["v"]
        if length == 0:
            return v, call.state, Trace(*[v[..., 0]] * len(Trace._fields))
        plan = Even(length)
        lines = {} if contract.window is None else contract.window.lines(call, plan)
        state = {name: call.state[name] for name in contract.carried}
        alike = call.positions is not None and len(set(call.positions)) == 1
        position: int | Tensor = call.positions[0] if alike and call.positions else call.state.get("position", 0)
        outputs, measures = [], []
        for t in range(length):
            if contract.chunk > 1:
                state = begun(state, position == 0)
            values = {**call.parameters, **state}
            if contract.window is not None:
                values |= contract.window.step_values(call, lines, Slice(t, t + 1))
            o, *found = self.function(*(values[name] if name in values else call.token(name)[:, t] for name in self.takes))
            state |= dict(zip(self.gives, found, strict=False))
            measured = found[len(self.gives) :]
            if self.finish is not None:
                state = finished(state, position == contract.chunk - 1, contract.weights, self.finish)
                squares = [state[name].square().sum((-2, -1)) for name in contract.weights]
                measured[3] = torch.stack(squares).sum(0).sqrt()
            outputs.append(o)
            measures.append(measured)
            position = (position + 1) % contract.chunk
        if contract.chunk > 1:
            state = begun(state, position == 0)
            state["position"] = (call.state["position"] + length) % contract.chunk
        if contract.window is not None:
            state |= contract.window.final(call, lines, plan)
        trace = Trace(*(torch.stack(column, 1) for column in zip(*measures, strict=True)))
        return torch.stack(outputs, 1), {name: state[name] for name in contract.state}, trace


def padded(x: Tensor, length: int) -> Tensor:
    """[B, S, ...] to [B, length, ...], 0 behind S."""
    missing = length - x.shape[1]
    return torch.cat((x, x.new_zeros(x.shape[0], missing, *x.shape[2:])), 1) if missing else x
