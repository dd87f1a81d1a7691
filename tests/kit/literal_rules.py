"""Specs as dictionaries of fields, one for each element and switch beyond the first shipped specs: points on which oracles are tried."""

from __future__ import annotations

from typing import Any

from kit.literal_package import fields_of

Fields = dict[str, Any]
HEAD, KEY, VALUE = {"per": "head"}, {"per": "key_channel"}, {"per": "value_channel"}
AFTER = {"order": "after_gradient"}
L2 = AFTER | {"kind": "l2", "value_decay": False}
BEFORE = L2 | {"order": "before_gradient"}
NONE = {"kind": "none", "order": "after_gradient"}
GD = {"kind": "gradient_descent", "steps": 1, "erase_key": False}
EXACT = {"size": 64, "gradient": "exact", "read": "after_write", "retention": "per_token"}
ON_GRID = EXACT | {"size": 4, "gradient": "chunk_start"}
MATRIX = {"kind": "matrix", "norm": "none", "residual": False}
VECTOR = MATRIX | {"kind": "vector"}
SWIGLU = MATRIX | {"kind": "swiglu", "expansion": 2}
MLP = MATRIX | {"kind": "mlp", "layers": 2, "expansion": 2, "activation": "gelu", "residual": True}
SQUARE = {"kind": "l2", "scale": 1.0, "window": None}
MOMENTUM = {"alpha": HEAD, "eta": HEAD, "mu": HEAD}


def rule(**parts: Any) -> Fields:
    """A gated delta rule measured at the state before the decay, with some of its parts replaced."""
    base = fields_of("gated_delta_net") | {
        "memory": MATRIX, "attentional_bias": SQUARE, "retention": L2, "optimizer": GD, "gates": {"alpha": HEAD, "eta": HEAD},
        "chunk": EXACT, "feature_map": {"kind": "identity"},
    }  # fmt: skip
    return base | parts


def muon(**more: str) -> Fields:
    return {"kind": "muon", "coefficients": "jordan", "apply": "per_token"} | more


RULES: dict[str, Fields] = {
    "alpha and eta per key channel": rule(gates={"alpha": KEY, "eta": KEY}),
    "alpha and eta per value channel": rule(gates={"alpha": VALUE, "eta": VALUE}, retention=BEFORE),
    "huber per value channel": rule(
        attentional_bias={"kind": "huber", "delta": "delta"}, gates={"alpha": HEAD, "eta": HEAD, "delta": VALUE}
    ),
    "a formula per value channel": rule(
        attentional_bias={"kind": "formula", "loss": "sum(rho*(u - v)**2)"}, gates={"alpha": HEAD, "eta": HEAD, "rho": VALUE}
    ),
    "two decays": rule(retention=L2 | {"value_decay": True}, gates={"alpha": KEY, "alpha_value": VALUE, "eta": HEAD}),
    "three keys": rule(optimizer=GD | {"erase_key": True}, gates={"alpha": KEY, "eta": HEAD}),
    "three keys of a chunk": rule(optimizer=GD | {"erase_key": True}, chunk=ON_GRID, attentional_bias=SQUARE | {"scale": 2.0}),
    "steps": rule(optimizer=GD | {"steps": 3}, retention=BEFORE),
    "implicit": rule(optimizer={"kind": "implicit"}, retention=NONE, gates={"eta": HEAD}, attentional_bias=SQUARE | {"scale": 2.0}),
    "nesterov": rule(optimizer={"kind": "nesterov"}, gates=MOMENTUM),
    "nesterov before_gradient": rule(optimizer={"kind": "nesterov"}, retention=BEFORE, gates=MOMENTUM),
    "preconditioned": rule(
        optimizer={"kind": "preconditioned"}, retention=BEFORE, gates={"alpha": HEAD, "eta": HEAD, "alpha_d": HEAD, "eta_d": KEY}
    ),
    "muon": rule(optimizer=muon(), gates=MOMENTUM),
    "muon of a chunk": rule(optimizer=muon(coefficients="lact"), gates=MOMENTUM, chunk=ON_GRID, memory=MLP),
    "muon at the chunk's end": rule(optimizer=muon(apply="chunk_end"), gates=MOMENTUM, chunk=ON_GRID | {"read": "chunk_start"}),
    "lact": rule(
        memory=SWIGLU, optimizer=muon(apply="chunk_end", coefficients="lact"), gates=MOMENTUM, chunk=ON_GRID | {"read": "chunk_start"},
        retention={"kind": "weight_norm", "order": "after_gradient"}, attentional_bias={"kind": "dot_product", "window": None},
    ),
    "vector": rule(memory=VECTOR, gates={"alpha": KEY, "eta": VALUE}),
    "vector with kl slices": rule(memory=VECTOR, retention={"kind": "kl", "slice": "input", "total": 2.0, "order": "after_gradient"}),
    "polynomial": rule(feature_map={"kind": "polynomial", "degree": 2}),
    "polynomial of an mlp": rule(feature_map={"kind": "polynomial", "degree": 2}, memory=MLP, chunk=ON_GRID),
    "bregman": rule(retention={"kind": "bregman", "generator": "w*log(w) - w", "inverse": "closed"} | AFTER, chunk=ON_GRID),
    "bregman by newton": rule(
        retention={"kind": "bregman", "generator": "w**4/4 + w**2/2", "inverse": "newton"} | AFTER
    ),
    "elastic_net": rule(retention={"kind": "elastic_net", "threshold": 0.3, "order": "after_gradient"}),
    "elastic_net with momentum": rule(
        retention={"kind": "elastic_net", "threshold": 0.3, "order": "before_gradient"}, optimizer={"kind": "momentum"}, gates=MOMENTUM
    ),
    "weight_norm": rule(retention={"kind": "weight_norm", "order": "after_gradient"}, chunk=ON_GRID),
    "f_divergence": rule(
        retention={"kind": "f_divergence", "generator": "t*log(t)", "slice": "input", "total": 2.0, "order": "after_gradient"},
        gates={"eta": HEAD},
    ),
    "f_divergence that clips": rule(
        retention={"kind": "f_divergence", "generator": "(t - 1)**2/2", "slice": "all", "total": 4.0, "order": "after_gradient"},
        gates={"eta": HEAD}, chunk=ON_GRID,
    ),
    "window": rule(attentional_bias=SQUARE | {"window": 3}, gates={"alpha": HEAD, "eta": HEAD, "gamma": HEAD}),
    "window of a chunk": rule(
        memory=MLP | {"norm": "layer"}, attentional_bias={"kind": "huber", "delta": "delta", "window": 6},
        gates={"alpha": HEAD, "eta": HEAD, "gamma": HEAD, "delta": HEAD}, chunk=ON_GRID,
    ),
    "window of one": rule(attentional_bias=SQUARE | {"window": 1}, gates={"alpha": HEAD, "eta": HEAD, "gamma": HEAD}),
    "window of gates per value channel": rule(
        attentional_bias={"kind": "formula", "loss": "sum(rho*log(cosh(u - v)))", "window": 3}, chunk=ON_GRID, optimizer=muon(),
        gates=MOMENTUM | {"gamma": HEAD, "rho": VALUE},
    ),
    "clip": rule(attentional_bias=SQUARE | {"clip": 0.7}, chunk=ON_GRID, memory=MLP),
    "clip in a window": rule(attentional_bias=SQUARE | {"clip": 0.7, "window": 3}, gates={"alpha": HEAD, "eta": HEAD, "gamma": HEAD}),
    "sigmoid on a linear path per key channel": rule(
        retention={"kind": "sigmoid"} | AFTER, chunk=ON_GRID | {"retention": "chunk_end"}, gates={"alpha": KEY, "eta": HEAD}
    ),
}  # fmt: skip
