"""The tile loop around a package's `chunk`: packed sequences, chunks, windows, and the state from tile to tile."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .runtime_chunk import begun, finished
from .runtime_contract import Call
from .runtime_even import Even
from .runtime_form import Form
from .runtime_masked import Masked
from .runtime_plan import Piece, Plan
from .runtime_state import State
from .runtime_uneven import Uneven


class TileForm(Form):
    """A rule as a loop over tiles of tokens: the function takes a tile, and returns its outputs and the state behind it."""

    kind = "chunk"

    def run(self, call: Call, tile: int) -> tuple[Tensor, State]:
        """The outputs in the precision of the computation, and the final state."""
        plan, window, writes = self.plan(call, tile), self.contract.window, self.contract.writes
        lines = {} if window is None else window.lines(call, plan)
        state, idle = plan.enter({name: call.state[name] for name in self.contract.carried})
        outputs, parts = [], [[idle]]
        for step in plan.steps():
            ended, onward = [], state
            for piece in step:
                part, o = self.tile(call, lines, piece, {name: x[piece.members] for name, x in state.items()})
                outputs.append(o)
                if piece.goes_on:
                    onward = part
                else:
                    ended.append(part)
            state = onward
            parts.append(ended)
        final = plan.leave([part for ended in reversed(parts) for part in ended])
        if self.contract.chunk > 1:
            final = begun(final, plan.ends_chunk())
            final["position"] = plan.behind(call.state["position"]) % self.contract.chunk
        if window is not None:
            final |= window.final(call, lines, plan)
        o = plan.collect(outputs, call.tokens["v"])
        return o if writes is None else writes.outputs(o), {name: final[name] for name in self.contract.state}

    def plan(self, call: Call, tile: int) -> Plan:
        """The cut of the tokens into tiles."""
        chunk = self.contract.chunk
        if call.positions is None:
            return Masked(call, chunk, tile)
        if call.borders is None and len(set(call.positions)) == 1:
            return Even(call.size[1], call.positions[0], chunk, tile)
        return Uneven(call, chunk, tile)

    def tile(self, call: Call, lines: Mapping[str, Tensor], piece: Piece, state: State) -> tuple[State, Tensor]:
        """The state behind a tile, and its outputs [N, H, C, V]."""
        if self.contract.chunk > 1:
            state = begun(state, piece.begins)
        values, window = {**call.parameters, **state}, self.contract.window
        if "valid" in self.takes:
            values["valid"] = piece.valid(call.tokens["q"])
        if window is not None:
            values |= window.tile_values(call, lines, piece, self.takes)
        o, *following = self.function(*(values[name] if name in values else piece.take(call.token(name)) for name in self.takes))
        if window is not None and "gamma" in self.takes:
            o = window.outputs(o, 2)
        state = state | dict(zip(self.gives, following, strict=True))
        if self.finish is not None:
            state = finished(state, piece.fills, self.contract.weights, self.finish)
        return state, o
