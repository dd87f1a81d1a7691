"""From a spec to the parts of its rule: the one place behind the checks that asks which elements were chosen."""

from __future__ import annotations

import sympy as sp

from miras_compiler.derive.chain_rule import derive_bias_derivative
from miras_compiler.derive.mirror_map import derive_mirror_map
from miras_compiler.derive.parts import (
    Entry,
    Features,
    MemoryMap,
    MirrorMap,
    Orthogonal,
    Reads,
    Recurrence,
    RuleGate,
    Surprise,
    Update,
    Weight,
)
from miras_compiler.derive.rule import Rule
from miras_compiler.elements.base import exact
from miras_compiler.elements.bias import L2Bias
from miras_compiler.elements.feature_map import PolynomialMap
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.elements.optimizer import GradientDescent, Muon, Preconditioned
from miras_compiler.ir.nodes import Axes
from miras_compiler.spec import Spec
from miras_compiler.symbols import letter

CHANNEL = {"head": "", "key_channel": "K", "value_channel": "V"}


def describe_rule(spec: Spec) -> Rule:
    """The rule of a checked spec; raises SpecError where a definition cannot be derived."""
    derivative = derive_bias_derivative(spec.attentional_bias)
    if spec.attentional_bias.window == 1:
        derivative = letter("gamma") * derivative  # a window of the token alone
    gates = {name: _gate(spec, name) for name in sorted(spec.gates, key=spec.gate_order)}
    surprise, update, reads = _surprise(spec), _update(spec), Reads(spec.chunk.read, spec.linear_reads)
    return Rule(
        spec=spec,
        bias_derivative=derivative,
        mirror_map=derive_mirror_map(spec.retention),
        weights=spec.memory.weights(),
        state=_state(spec, gates, surprise, update),
        gates=gates,
        recurrences=_recurrences(spec),
        memory=MemoryMap(spec.memory.forward(), spec.memory.norm, spec.memory.residual, spec.memory.deep),
        features=_features(spec),
        surprise=surprise,
        update=update,
        mirror=_mirror(spec),
        reads=reads,
        chunk=spec.chunk.size if spec.frozen_gradient else 1,
    )


def _gate(spec: Spec, name: str) -> RuleGate:
    channel = CHANNEL[spec.gates[name].per]
    axes: Axes = ("v",) if channel and isinstance(spec.memory, VectorMemory) else tuple(channel.lower())  # there K = V
    letter_of = spec.gate_letter(name)
    measured = name in spec.attentional_bias.gates() and name != "gamma"
    return RuleGate(name, channel, axes, letter_of.decay, measured, letter_of, spec.gate_range(name))


def _recurrences(spec: Spec) -> dict[str, Recurrence]:
    decays = tuple(gate for gate in ("alpha", "alpha_value") if gate in spec.gates)
    momentum = spec.optimizer.momentum
    found = [Recurrence("A", decays, "S" if momentum else "g")]
    found += [Recurrence("S", ("mu",), "g")] if momentum else []
    found += [Recurrence("D", ("alpha_d",), "k²")] if isinstance(spec.optimizer, Preconditioned) else []
    return {each.state: each for each in found}


def _features(spec: Spec) -> Features:
    if isinstance(spec.feature_map, PolynomialMap):
        return Features(None, spec.feature_map.degree)
    return Features(spec.feature_map.expression())


def _surprise(spec: Spec) -> Surprise:
    bias = spec.attentional_bias
    decayed = spec.retention.order == "before_gradient"
    return Surprise(
        loss=bias.loss(),
        at="start" if spec.frozen_gradient else "decayed" if decayed else "before",
        ahead=spec.optimizer.looks_ahead,
        window=bias.window or 1,
        weighed=bias.window is not None,
        scale=exact(bias.scale) if isinstance(bias, L2Bias) else None,
    )


def _update(spec: Spec) -> Update:
    optimizer, orthogonal, size = spec.optimizer, None, spec.optimizer.step_size()
    if isinstance(optimizer, Muon):
        per_chunk = optimizer.apply == "chunk_end"
        orthogonal = Orthogonal(optimizer.triples(), sized=per_chunk, waits=per_chunk and spec.frozen_gradient)
    if isinstance(spec.attentional_bias, L2Bias):
        size = size.subs(letter("s"), exact(spec.attentional_bias.scale))
    plain = optimizer if isinstance(optimizer, GradientDescent) else GradientDescent()
    gain = optimizer.write_gain() if isinstance(optimizer, Preconditioned) else None
    return Update(plain.steps, size, plain.erase_key, gain, orthogonal)


def _mirror(spec: Spec) -> MirrorMap:
    retention = spec.retention
    step, relative = retention.primal_step(), retention.relative_step()
    total = float(retention.constraint() or sp.Integer(1))
    return MirrorMap(retention.identity, retention.slice_axis(), step, relative, retention.start, total)


def _state(spec: Spec, gates: dict[str, RuleGate], surprise: Surprise, update: Update) -> tuple[Entry, ...]:
    """Everything that a final state holds."""
    rows = "F" if isinstance(spec.feature_map, PolynomialMap) else "K"
    suffixes = [""]
    suffixes += ["_momentum"] if spec.optimizer.momentum else []
    suffixes += ["_pending"] if update.orthogonal and update.orthogonal.waits else []
    suffixes += ["_start"] if spec.frozen_gradient else []
    weights = {weight.name: (f"BH{_letters(weight, rows)}", weight.axes) for weight in spec.memory.weights()}
    state = [Entry(f"{name}{suffix}", *axes) for suffix in suffixes for name, axes in weights.items()]
    if spec.frozen_gradient:
        state.append(Entry("position", "B", goes="by call", integer=True))
    if spec.linear_reads and spec.frozen_gradient:
        state.append(Entry("log_beta", f"BH{gates['alpha'].channel}", gates["alpha"].axes))
    if update.gain is not None:
        state.append(Entry("preconditioner", f"BH{rows}", ("k",)))
    if surprise.window > 1:
        kept = [("k", "K"), ("v", "V"), *((gate.name, gate.channel) for gate in gates.values() if gate.measured)]
        state += [Entry(f"window_{name}", f"BHL{channel}", goes="by call") for name, channel in kept]
        state.append(Entry("window_length", "B", goes="by call", integer=True))
    return tuple(state)


def _letters(weight: Weight, rows: str) -> str:
    return "".join(rows if axis == "k" else axis[0].upper() for axis in weight.axes)
