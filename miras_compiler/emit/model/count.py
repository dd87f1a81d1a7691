"""The number of parameters of a model, from its spec alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from miras_compiler.derive.rule import Rule
from miras_compiler.emit.interface import Interface
from miras_compiler.spec.ties import ZERO

if TYPE_CHECKING:
    from miras_compiler.emit.model.sizes import ModelSizes


def count_model(rule: Rule, interface: Interface, sizes: ModelSizes) -> int:
    """The parameters of the model."""
    hidden, model = sizes.hidden_size, rule.frame.model
    values, pattern = model.input, model.pattern
    if values is None:
        embeddings = sizes.vocab_size * hidden * (1 if model.tie_embeddings else 2)
    else:
        embeddings = (values.patch * values.channels + 1) * hidden + (hidden + 1) * values.horizon * values.channels
    mixers = sum(count_mixer(rule, interface, sizes, pattern[number % len(pattern)]) for number in range(sizes.layers))
    mlp = 3 * hidden * sizes.intermediate_size + hidden if sizes.intermediate_size else 0
    return embeddings + mixers + sizes.layers * (hidden + mlp) + hidden


def count_mixer(rule: Rule, interface: Interface, sizes: ModelSizes, kind: str) -> int:
    """The parameters of the mixer of one block."""
    attention = 4 * sizes.hidden_size**2
    if kind != "memory":
        return attention
    memory, persistent = count_layer(rule, interface, sizes), (rule.frame.model.persistent or 0) * sizes.hidden_size
    gate = 2 * sizes.hidden_size
    return memory + {"lmm": 0, "mal": attention + persistent}.get(rule.frame.model.wiring, attention + persistent + gate)


def count_layer(rule: Rule, interface: Interface, sizes: ModelSizes) -> int:
    """The parameters of the layer of the memory."""
    length = axis_lengths(rule, sizes)
    layer, hidden, steps = rule.frame.layer, sizes.hidden_size, rule.update.writes
    gates = {name: gate for gate in rule.gates for name in (gate, f"log_{gate}")}
    total = 0
    for argument in interface.tokens:
        name, axes = argument.name, argument.axes
        width = math.prod(length[axis] for axis in axes[2:])
        writes, tie = steps if axes[1] == "R" else 1, layer.tie_of(name)
        if name in gates:
            total += count_gate(rule, gates[name], writes * width, sizes)
        elif tie is None or tie.projects(name):
            heads = sizes.value_heads if axes[-1] == "V" else sizes.heads
            total += (hidden + layer.conv) * (writes - (tie is not None and tie.of == ZERO)) * heads * length[axes[-1]]
        for gate in [term.gate for term in tie.terms if term.gate] if tie else []:
            total += count_source(gate.source, gate.low_rank, sizes.value_heads if gate.per == "head" else width, hidden)
    owned = [entry.axes for entry in interface.parameters]
    if interface.requires_state and rule.memory.learned:
        owned += [entry.axes.removeprefix("B") for entry in interface.weights]
    total += sum(math.prod(length[axis] for axis in axes) for axes in owned)
    total += (0 if layer.output_norm == "none" else sizes.value_dim) + layer.skip * sizes.value_heads
    return total + (1 + layer.output_gate) * sizes.value_heads * sizes.value_dim * hidden


def count_gate(rule: Rule, name: str, width: int, sizes: ModelSizes) -> int:
    """The parameters of a gate of so many numbers a token."""
    gate = rule.gates[name]
    if gate.source == "eta":
        return sizes.value_heads  # exp(A)
    rate = sizes.value_heads if gate.source != "constant" and gate.range.parametrization == "exp_softplus" else 0
    return rate + count_source(gate.source, gate.low_rank, width, sizes.hidden_size)


def count_source(source: str, low_rank: int | None, width: int, hidden: int) -> int:
    """The parameters of the module that makes so many numbers a token."""
    if source != "input":
        return width if source == "learned" else 0
    return width + (hidden * width if low_rank is None else low_rank * (hidden + width))


def axis_lengths(rule: Rule, sizes: ModelSizes) -> dict[str, int]:
    """The lengths of the axes of the operator's arguments."""
    lengths = {"H": sizes.value_heads, "K": sizes.head_dim, "V": sizes.value_dim, "W": rule.surprise.window}
    if rule.frame.hidden_dim:
        lengths["N"] = rule.frame.hidden_dim // rule.frame.key_dim * sizes.head_dim
    if rule.features.outer:
        degree = rule.features.degree
        lengths |= {"F": math.comb(sizes.head_dim + degree, degree), "D": degree + 1}
    return lengths
