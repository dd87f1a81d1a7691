"""docs/mathematics.md §10: limits in which a model must become a simpler one, tried against the literal model of the simpler spec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from miras_compiler.verify.checks.base import Check
from miras_compiler.verify.inputs import Inputs
from miras_compiler.verify.literal import LiteralModel
from miras_compiler.verify.literal.feature_map import features
from miras_compiler.verify.literal.gates import ERASE_KEYS
from miras_compiler.verify.literal.memory import predict
from miras_compiler.verify.literal.mirror import mirror_map
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import Subject

RESETS = -math.inf  # as the logarithm of a decay
WIDE, LEAST_STEP = 1e6, 1e-6


def _becomes(
    subject: Subject, tally: Tally, inputs: Inputs, simpler: Mapping[str, Any], without: tuple[str, ...] = (), reduced: Inputs | None = None
) -> None:
    """Both forms on `inputs` ≡ the literal model of the spec with `simpler` fields and without some gates, on `reduced` inputs."""
    given = reduced or inputs
    gates = {name: gate for name, gate in given.gates.items() if name not in without}
    literal = LiteralModel({**subject.fields, **simpler})
    tally.about(subject.rounding(inputs))
    with torch.no_grad():
        expected, _, _ = literal(given.q, given.k, given.v, gates, given.parameters, given.state)
        for name, run in subject.forms.items():
            output, _ = run(inputs)
            tally.compare(f"{name} o", output, expected)


def _with_gate(inputs: Inputs, name: str, value: float) -> Inputs:
    return replace(inputs, gates={**inputs.gates, name: torch.full_like(inputs.gates[name], value)})


def _without_decay(inputs: Inputs) -> Inputs:
    for name in ("log_alpha", "log_alpha_value"):
        inputs = _with_gate(inputs, name, 0.0) if name in inputs.gates else inputs
    return inputs


def ungated(subject: Subject, tally: Tally) -> None:
    inputs = _without_decay(subject.crossing(41))
    retention = {**subject.fields["retention"], "kind": "none"}
    _becomes(subject, tally, inputs, {"retention": retention}, ("log_alpha", "log_alpha_value"))


def without_momentum(subject: Subject, tally: Tally) -> None:
    inputs = _with_gate(subject.crossing(42), "log_mu", RESETS)
    _becomes(subject, tally, inputs, {"optimizer": {"kind": "gradient_descent"}}, ("log_mu",))


def wide_huber(subject: Subject, tally: Tally) -> None:
    """Also the switch of Yaad, whose quadratic branch has its own scale.

    A rule that without a threshold drives residuals beyond this one is tried at a quarter of the step, a sixteenth, …
    """
    bias = subject.fields["attentional_bias"]
    simpler = {"attentional_bias": {**bias, "kind": "l2", "scale": bias.get("scale", 1.0), "delta": 1.0}}
    step, inputs = subject.step, _without_threshold(subject, subject.step)
    while not _stays_below(WIDE, LiteralModel({**subject.fields, **simpler}), inputs) and step > LEAST_STEP:
        step /= 4
        inputs = _without_threshold(subject, step)
    _becomes(subject, tally, inputs, simpler)


def _without_threshold(subject: Subject, step: float) -> Inputs:
    """Inputs whose threshold, of the tokens in a window, too, is WIDE."""
    threshold = subject.fields["attentional_bias"]["delta"]
    inputs = _with_gate(subject.crossing(43, eta=step), threshold, WIDE)
    waiting = f"window_{threshold}"
    return replace(inputs, state={name: torch.full_like(x, WIDE) if name == waiting else x for name, x in inputs.state.items()})


def _stays_below(threshold: float, model: LiteralModel, inputs: Inputs) -> bool:
    """Returns true where no residual is longer; false for nan."""
    with torch.no_grad():
        _, _, trace = model(inputs.q, inputs.k, inputs.v, inputs.gates, inputs.parameters, inputs.state)
    return bool(trace.error.max() <= threshold)


def square_lp(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(44), {"attentional_bias": {**subject.fields["attentional_bias"], "kind": "l2", "scale": 2.0}})


def square_lq(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(45), {"retention": {**subject.fields["retention"], "kind": "l2"}})


def no_shift(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(46), {"attentional_bias": {**subject.fields["attentional_bias"], "kind": "l2", "scale": 1.0}})


def chunk_of_one(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(47), {"chunk": {**subject.fields["chunk"], "gradient": "exact"}})


def nothing_learned(subject: Subject, tally: Tally) -> None:
    """eta = 0 and no momentum: y = M(ψ(beta_t A_0); φ(q)), with the decay since the memory began."""
    fields, literal = subject.fields, subject.literal
    inputs = _with_gate(subject.crossing(48), "eta", 0.0)
    inputs = replace(inputs, state={name: inputs.state[name] for name in literal.weight_names})
    lag = {"after_write": 0, "before_write": 1}[literal.read]
    decays = [literal.log_decay({name: gate[:, t] for name, gate in inputs.gates.items()}, inputs.q) for t in range(inputs.length)]
    expected = []
    tally.about(subject.rounding(inputs))
    for t in range(inputs.length):
        first = t - t % literal.reset if literal.reset else 0
        beta = sum(decays[first : t + 1 - lag], torch.zeros_like(decays[0])).exp()
        weights = {name: mirror_map(fields["retention"], beta * inputs.state[name]) for name in literal.weight_names}
        q = inputs.q[:, t]
        mapped = features(fields["feature_map"], q, inputs.parameters)
        expected.append(predict(fields["memory"], weights, mapped, q, inputs.parameters))
    with torch.no_grad():
        for name, run in subject.forms.items():
            output, _ = run(inputs)
            tally.compare(f"{name} o", output, torch.stack(expected, 1))


def window_of_one(subject: Subject, tally: Tally) -> None:
    """gamma = (1, 0, …, 0), whatever the window's length and content."""
    inputs = subject.crossing(49)
    gamma = torch.zeros_like(inputs.gates["gamma"])
    gamma[..., 0] = 1
    bias = {**subject.fields["attentional_bias"], "window": None}
    _becomes(subject, tally, replace(inputs, gates={**inputs.gates, "gamma": gamma}), {"attentional_bias": bias}, ("gamma",))


def single_step(subject: Subject, tally: Tally) -> None:
    """Writes with eta = 0 do not count: n writes of which only the first has a step size are one."""
    inputs, n = subject.crossing(50), subject.literal.steps
    first = (torch.arange(inputs.k.shape[1]) % n == 0).reshape(1, -1, *[1] * (inputs.gates["eta"].dim() - 2))
    reduced = inputs.by_token(lambda tensor, rows: tensor[:, ::rows])
    inputs = replace(inputs, gates={**inputs.gates, "eta": inputs.gates["eta"] * first})
    _becomes(subject, tally, inputs, {"optimizer": {"kind": "gradient_descent"}}, reduced=reduced)


def one_key(subject: Subject, tally: Tally) -> None:
    """b = κ = k, and b left out, which means k."""
    inputs = subject.crossing(55)
    inputs = replace(inputs, gates={**inputs.gates, **dict.fromkeys(ERASE_KEYS, inputs.k)})
    simpler = {"optimizer": {**subject.fields["optimizer"], "erase_key": False}}
    _becomes(subject, tally, inputs, simpler, ERASE_KEYS)
    shorter = replace(inputs, gates={name: gate for name, gate in inputs.gates.items() if name != ERASE_KEYS[1]})
    _becomes(subject, tally, shorter, simpler, ERASE_KEYS)


def any_tile(subject: Subject, tally: Tally) -> None:
    """Exact gradients do not depend on where tiles begin."""
    inputs = subject.inputs(subject.long, seed=56, position=0)
    tally.about(subject.rounding(inputs))
    with torch.no_grad():
        expected, _ = subject.run(subject.package.torch_chunk, tile=inputs.length)(inputs)
        for tile in (1, 3, 8, 17):
            output, _ = subject.run(subject.package.torch_chunk, tile=tile)(inputs)
            tally.compare(f"tile {tile}", output, expected)


def gated_delta_rule(subject: Subject, tally: Tally) -> None:
    """mu = 0: S ← alpha S + s eta kᵀ (v − k alpha S), Gated DeltaNet eq. 10; measured after the decay, or without one."""
    inputs = subject.crossing(57)
    if "log_mu" in inputs.gates:
        inputs = _with_gate(inputs, "log_mu", RESETS)
    if subject.fields["retention"]["order"] == "after_gradient":
        inputs = _without_decay(inputs)
    scale, state, expected = float(subject.fields["attentional_bias"]["scale"]), inputs.state["W"], []
    for t in range(inputs.length):
        token = {name: gate[:, t] for name, gate in inputs.gates.items()}
        state = subject.literal.log_decay(token, inputs.q).exp() * state
        k = inputs.k[:, t].unsqueeze(-2)
        state = state + scale * subject.literal.on_weight("eta", token["eta"]) * (k.mT @ (inputs.v[:, t].unsqueeze(-2) - k @ state))
        expected.append((inputs.q[:, t].unsqueeze(-2) @ state).squeeze(-2))
    with torch.no_grad():
        for name, run in subject.forms.items():
            tally.compare(f"{name} o", run(inputs)[0], torch.stack(expected, 1))


def _bias(subject: Subject, *kinds: str) -> Any:
    bias = subject.fields["attentional_bias"]
    return bias if bias["kind"] in kinds else {}


def has_wide_threshold(subject: Subject) -> bool:
    return isinstance(_bias(subject, "huber", "huber_norm", "yaad_switch").get("delta"), str)


def is_exact_by_size(subject: Subject) -> bool:
    chunk = subject.fields["chunk"]
    plain = chunk["read"] != "chunk_start" and chunk["retention"] == "per_token" and not subject.literal.at_chunk_end
    return bool(plain and chunk["gradient"] == "chunk_start" and chunk["size"] == 1)


def is_square_lp(subject: Subject) -> bool:
    bias = _bias(subject, "lp")
    return bool(bias and bias["p"] == 2 and not bias["smooth"])


def is_square_lq(subject: Subject) -> bool:
    retention = subject.fields["retention"]
    return bool(retention["kind"] == "lq" and retention["q"] == 2)


def keeps_what_it_has(subject: Subject) -> bool:
    literal = subject.literal
    return not literal.linear_reads and literal.read != "chunk_start" and subject.fields["retention"]["kind"] != "weight_norm"


def is_delta_rule(subject: Subject) -> bool:
    fields, literal = subject.fields, subject.literal
    linear = fields["memory"]["kind"] == "matrix" and fields["memory"]["norm"] == "none" and not fields["memory"]["residual"]
    plain = fields["feature_map"]["kind"] == "identity" and literal.read == "after_write" and not literal.has_grid
    quadratic = bool(_bias(subject, "l2")) and literal.window == 1 and "gamma" not in fields["gates"]
    descent = literal.kind in ("gradient_descent", "momentum", "nesterov") and literal.steps == 1 and not literal.erases
    unclipped = fields["attentional_bias"].get("clip") is None
    return not literal.reset and linear and plain and quadratic and descent and unclipped and fields["retention"]["kind"] in ("none", "l2")


def has_momentum_to_lose(subject: Subject) -> bool:
    return subject.literal.kind in ("momentum", "nesterov")


def has_gate(name: str) -> Any:
    return lambda subject: name in subject.fields["gates"]


IDENTITIES = (
    Check("identities", "alpha ≡ 1 ⇒ the ungated model", 1e-10, ungated, lambda s: s.fields["retention"]["kind"] == "l2"),
    Check("identities", "mu ≡ 0 ⇒ gradient descent", 1e-10, without_momentum, has_momentum_to_lose),
    Check("identities", "δ = 10⁶ ⇒ l2", 1e-10, wide_huber, has_wide_threshold),
    Check("identities", "p = 2 ⇒ l2 with s = 2", 1e-10, square_lp, is_square_lp),
    Check("identities", "q = 2 ⇒ l2", 1e-10, square_lq, is_square_lq),
    Check("identities", "Δ = 0 ⇒ l2", 1e-10, no_shift, lambda s: _bias(s, "robust_shift").get("shift") == 0),
    Check("identities", "C = 1 ⇒ exact", 1e-10, chunk_of_one, is_exact_by_size),
    Check("identities", "exact does not depend on the tile", 1e-10, any_tile, lambda s: not s.has_grid and s.literal.read != "chunk_start"),
    Check("identities", "window of weights 1, 0, … ⇒ no window", 1e-10, window_of_one, has_gate("gamma")),
    Check("identities", "one write of n ⇒ gradient descent", 1e-10, single_step, lambda s: s.literal.steps > 1),
    Check("identities", "b = κ = k ⇒ no erase key", 1e-10, one_key, lambda s: s.literal.erases),
    Check("identities", "mu ≡ 0 ⇒ the gated delta rule", 1e-10, gated_delta_rule, is_delta_rule),
    Check("identities", "eta ≡ 0 ⇒ y = M(ψ(beta A₀); φ(q))", 1e-10, nothing_learned, keeps_what_it_has),
)
