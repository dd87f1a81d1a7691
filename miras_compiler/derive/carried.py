"""The state that a rule carries from call to call: its entries by name, with their axes as letters.

`B` sequences, `H` heads, `K` keys, `F` features of keys, `N` (`N1`, …) hidden, `V` values, `L` the tokens of a window before the last.
"""

from __future__ import annotations

from typing import NamedTuple

from miras_compiler.derive.chunk_end import waits_for_chunk_end
from miras_compiler.derive.leaves import outer_features, window_gates, window_of
from miras_compiler.elements.optimizer import Preconditioned
from miras_compiler.spec import Spec

CHANNEL = {"head": "", "key_channel": "K", "value_channel": "V"}
INTEGERS = ("position", "window_length")  # int64; all other entries are float32, or float64 in a computation in float64


class Entry(NamedTuple):
    """A tensor of the state."""

    name: str
    axes: str


def weight_entries(spec: Spec) -> tuple[Entry, ...]:
    """The weights of the memory."""
    rows = "F" if outer_features(spec) else "K"
    return tuple(
        Entry(weight.name, "BH" + "".join(rows if axis == "k" else axis[0].upper() for axis in weight.axes))
        for weight in spec.memory.weights()
    )


def state_entries(spec: Spec) -> tuple[Entry, ...]:
    """Everything that a final state holds."""
    weights = weight_entries(spec)
    state = [*weights]
    if spec.optimizer.momentum:
        state += [Entry(f"{name}_momentum", axes) for name, axes in weights]
    if waits_for_chunk_end(spec):
        state += [Entry(f"{name}_pending", axes) for name, axes in weights]
    if spec.frozen_gradient:
        state += [Entry(f"{name}_start", axes) for name, axes in weights]
        state.append(Entry("position", "B"))
    if spec.linear_reads and spec.frozen_gradient:
        state.append(Entry("log_beta", "BH" + CHANNEL[spec.gates["alpha"].per]))
    if isinstance(spec.optimizer, Preconditioned):
        state.append(Entry("preconditioner", "BHF" if outer_features(spec) else "BHK"))
    if window_of(spec) > 1:
        gates = [(f"window_{gate}", "BHL" + CHANNEL[spec.gates[gate].per]) for gate in window_gates(spec)]
        state += [Entry("window_k", "BHLK"), Entry("window_v", "BHLV"), *(Entry(*gate) for gate in gates), Entry("window_length", "B")]
    return tuple(state)
