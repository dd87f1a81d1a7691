"""MATH §10: limits in which a model must become a simpler one, tried against the literal model of the simpler spec."""

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
from miras_compiler.verify.literal.memory import predict
from miras_compiler.verify.literal.mirror import mirror_map
from miras_compiler.verify.measure import Tally
from miras_compiler.verify.subject import Subject


def _becomes(subject: Subject, tally: Tally, inputs: Inputs, simpler: Mapping[str, Any], without: tuple[str, ...] = ()) -> None:
    """Both forms on `inputs` ≡ the literal model of the spec with `simpler` fields, which lacks the gates `without`."""
    gates = {name: gate for name, gate in inputs.gates.items() if name not in without}
    literal = LiteralModel({**subject.fields, **simpler})
    with torch.no_grad():
        expected, _, _ = literal(inputs.q, inputs.k, inputs.v, gates, inputs.parameters, inputs.state)
        for name, run in subject.forms.items():
            output, _ = run(inputs)
            tally.compare(f"{name} o", output, expected)


def _with_gate(inputs: Inputs, name: str, value: float) -> Inputs:
    return replace(inputs, gates={**inputs.gates, name: torch.full_like(inputs.gates[name], value)})


def ungated(subject: Subject, tally: Tally) -> None:
    inputs = _with_gate(subject.crossing(41), "log_alpha", 0.0)
    _becomes(subject, tally, inputs, {"retention": {**subject.fields["retention"], "kind": "none"}}, ("log_alpha",))


def without_momentum(subject: Subject, tally: Tally) -> None:
    inputs = _with_gate(subject.crossing(42), "log_mu", -math.inf)
    _becomes(subject, tally, inputs, {"optimizer": {"kind": "gradient_descent"}}, ("log_mu",))


def wide_huber(subject: Subject, tally: Tally) -> None:
    """Also the switch of Yaad, whose quadratic branch has its own scale."""
    bias = subject.fields["attentional_bias"]
    inputs = _with_gate(subject.crossing(43), bias["delta"], 1e6)
    _becomes(subject, tally, inputs, {"attentional_bias": {"kind": "l2", "scale": bias.get("scale", 1.0)}})


def square_lp(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(44), {"attentional_bias": {"kind": "l2", "scale": 2.0}})


def square_lq(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(45), {"retention": {**subject.fields["retention"], "kind": "l2"}})


def no_shift(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(46), {"attentional_bias": {"kind": "l2", "scale": 1.0}})


def chunk_of_one(subject: Subject, tally: Tally) -> None:
    _becomes(subject, tally, subject.crossing(47), {"chunk": {**subject.fields["chunk"], "gradient": "exact"}})


def nothing_learned(subject: Subject, tally: Tally) -> None:
    """eta = 0 and no momentum: y = M(ψ(beta_t A_0); φ(q))."""
    fields, literal = subject.fields, subject.literal
    inputs = _with_gate(subject.crossing(48), "eta", 0.0)
    inputs = replace(inputs, state={name: inputs.state[name] for name in literal.weight_names})
    log_alpha = inputs.gates.get("log_alpha", torch.zeros_like(inputs.gates["eta"]))
    lag = {"after_write": 0, "before_write": 1}[literal.read]
    expected = []
    for t in range(inputs.length):
        beta = log_alpha[:, : t + 1 - lag].sum(1).exp()[..., None, None]
        weights = {name: mirror_map(fields["retention"], beta * inputs.state[name]) for name in literal.weight_names}
        q = inputs.q[:, t]
        expected.append(predict(fields["memory"], weights, features(fields["feature_map"], q), q, inputs.parameters))
    with torch.no_grad():
        for name, run in subject.forms.items():
            output, _ = run(inputs)
            tally.compare(f"{name} o", output, torch.stack(expected, 1))


def _bias(subject: Subject, *kinds: str) -> Any:
    bias = subject.fields["attentional_bias"]
    return bias if bias["kind"] in kinds else {}


def has_wide_threshold(subject: Subject) -> bool:
    return isinstance(_bias(subject, "huber", "huber_norm", "yaad_switch").get("delta"), str)


def is_exact_by_size(subject: Subject) -> bool:
    chunk = subject.fields["chunk"]
    plain = chunk["read"] != "chunk_start" and chunk["retention"] == "per_token"
    return bool(plain and chunk["gradient"] == "chunk_start" and chunk["size"] == 1)


def is_square_lp(subject: Subject) -> bool:
    bias = _bias(subject, "lp")
    return bool(bias and bias["p"] == 2 and not bias["smooth"])


def is_square_lq(subject: Subject) -> bool:
    retention = subject.fields["retention"]
    return bool(retention["kind"] == "lq" and retention["q"] == 2)


IDENTITIES = (
    Check("identities", "alpha ≡ 1 ⇒ the ungated model", 1e-10, ungated, lambda s: s.fields["retention"]["kind"] == "l2"),
    Check("identities", "mu ≡ 0 ⇒ gradient descent", 1e-10, without_momentum, lambda s: s.literal.momentum),
    Check("identities", "δ = 10⁶ ⇒ l2", 1e-10, wide_huber, has_wide_threshold),
    Check("identities", "p = 2 ⇒ l2 with s = 2", 1e-10, square_lp, is_square_lp),
    Check("identities", "q = 2 ⇒ l2", 1e-10, square_lq, is_square_lq),
    Check("identities", "Δ = 0 ⇒ l2", 1e-10, no_shift, lambda s: _bias(s, "robust_shift").get("shift") == 0),
    Check("identities", "C = 1 ⇒ exact", 1e-10, chunk_of_one, is_exact_by_size),
    Check(
        "identities", "eta ≡ 0 ⇒ y = M(ψ(beta A₀); φ(q))", 1e-10, nothing_learned,
        lambda s: not s.literal.linear_reads and s.literal.read != "chunk_start",
    ),
)  # fmt: skip
