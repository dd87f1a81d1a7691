"""A package that computes the literal model itself: verification must accept it, and refuse planted bugs in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kit.paths import SPECS
from miras_compiler.spec import load_spec
from miras_compiler.verify.literal import LiteralModel, LiteralTrace
from miras_compiler.verify.literal.feature_map import COEFFICIENTS, feature_width
from miras_compiler.verify.literal.gates import ERASE_KEYS, PER_WRITE, gate_keyword
from miras_compiler.verify.literal.memory import weight_shapes
from miras_compiler.verify.literal.mirror import slice_axes
from miras_compiler.verify.package import Package

PARAMETERS = ("ln_weight", "ln_bias", COEFFICIENTS)
WEIGHT_AXES = {"vector": {"W": "V"}, "matrix": {"W": "KV"}, "mlp": {"W1": "KN", "W2": "NV"}, "swiglu": {"W1": "KN", "W2": "NV", "W3": "KN"}}


def fields_of(name: str, **changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a shipped spec; of each role in `changes` some fields differ, or all where the kind does."""
    fields = load_spec(SPECS / f"{name}.yaml").model_dump(by_alias=True)
    for role, change in changes.items():
        fields[role] = dict(change) if "kind" in change or role == "gates" else {**fields[role], **change}
    return fields


class LiteralOperator:
    """The operator contract around a literal model; packed sequences are taken apart."""

    def __init__(self, fields: Mapping[str, Any], model: type[LiteralModel] = LiteralModel) -> None:
        self.fields = fields
        self.model = model(fields)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, *, initial_state: Mapping[str, Tensor] | None = None, output_final_state: bool = False,
        cu_seqlens: Tensor | None = None, backend: str = "auto", tile: int = 16, **named: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor] | None]:  # fmt: skip
        if cu_seqlens is None:
            o, state, _ = self.run(q, k, v, named, self.state(initial_state, q, v))
            return o, state if output_final_state else None
        assert initial_state is not None
        pieces = []
        for n, (first, end) in enumerate(zip(cu_seqlens.tolist(), cu_seqlens.tolist()[1:], strict=False)):
            own = {name: tensor[n : n + 1] for name, tensor in initial_state.items()}
            rows = {name: self.model.steps if name in PER_WRITE else 1 for name in named}
            cut = {name: x if name in PARAMETERS else x[:, rows[name] * first : rows[name] * end] for name, x in named.items()}
            writes = slice(self.model.steps * first, self.model.steps * end)
            pieces.append(self.run(q[:, first:end], k[:, writes], v[:, writes], cut, own))
        state = {name: torch.cat([piece[1][name] for piece in pieces]) for name in pieces[0][1]}
        return torch.cat([piece[0] for piece in pieces], 1), state if output_final_state else None

    def trace(self, q: Tensor, k: Tensor, v: Tensor, *, initial_state: Mapping[str, Tensor] | None = None, **named: Tensor) -> LiteralTrace:
        return self.run(q, k, v, named, self.state(initial_state, q, v))[2]

    def state(self, given: Mapping[str, Tensor] | None, q: Tensor, v: Tensor) -> Mapping[str, Tensor]:
        if given is not None:
            return given
        retention = self.fields["retention"]
        if self.fields["memory"]["kind"] not in ("matrix", "vector") or retention["kind"] in ("lq_printed", "weight_norm"):
            raise ValueError("initial_state is required")
        shapes = weight_shapes(self.fields["memory"], feature_width(self.fields["feature_map"], q.shape[-1]), v.shape[-1], q.shape[-1])
        dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
        state = {name: torch.zeros(q.shape[0], q.shape[2], *shape, dtype=dtype) for name, shape in shapes.items()}
        if retention["kind"] == "f_divergence":
            ones = torch.ones_like(state["W"])
            state = {"W": float(retention["total"]) * ones / ones.sum(slice_axes(retention["slice"], ones), keepdim=True)}
        return state

    def run(
        self, q: Tensor, k: Tensor, v: Tensor, named: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], LiteralTrace]:
        work = torch.float64 if q.dtype == torch.float64 else torch.float32
        parameters = {name: tensor.to(work) for name, tensor in named.items() if name in PARAMETERS}
        gates = {name: tensor.to(work) for name, tensor in named.items() if name not in PARAMETERS}
        o, final, trace = self.model(q.to(work), k.to(work), v.to(work), gates, parameters, state)
        return o.to(q.dtype), final, trace


def literal_package(fields: Mapping[str, Any]) -> Package:
    """The package whose every operator is the literal model of `fields`."""
    return package_of(LiteralOperator(fields))


def package_of(operator: LiteralOperator) -> Package:
    """The package whose every operator is this one, with the manifest that it should have."""
    inputs, state = operator_axes(operator.fields), state_axes(operator.fields, operator.model)
    manifest = {
        "digest": "0" * 12,
        "inputs": [{"name": name, "axes": list(letters)} for name, letters in inputs.items()],
        "state": [{"name": name, "axes": list(letters)} for name, letters in state.items()],
    }
    return Package(manifest, operator, operator, operator, operator, operator.trace)


def operator_axes(fields: Mapping[str, Any]) -> dict[str, str]:
    """Axes of the operator's arguments; R counts writes, F features, C the tokens of a window, D degrees."""
    writes = "R" if fields["optimizer"].get("steps", 1) > 1 else "T"
    key = "F" if fields["feature_map"]["kind"] == "polynomial" else "K"
    inputs = {"q": "BTHK", "k": f"B{writes}HK", "v": f"B{writes}HV"}
    for name, gate in fields["gates"].items():
        channel = {"head": "", "key_channel": key, "value_channel": "V"}[gate.get("per", "head")]
        inputs[gate_keyword(name)] = f"B{writes if name in PER_WRITE else 'T'}H{'C' if name == 'gamma' else channel}"
    if fields["optimizer"].get("erase_key"):
        inputs |= dict.fromkeys(ERASE_KEYS, f"B{writes}HK")
    if fields["memory"]["norm"] != "none":
        inputs |= {"ln_weight": "HV", "ln_bias": "HV"}
    return inputs | ({COEFFICIENTS: "D"} if key == "F" else {})


def state_axes(fields: Mapping[str, Any], model: LiteralModel) -> dict[str, str]:
    """Axes of the state's entries; W counts the slots of a window."""
    key = "F" if fields["feature_map"]["kind"] == "polynomial" else "K"
    axes = {name: f"BH{letters.replace('K', key)}" for name, letters in WEIGHT_AXES[fields["memory"]["kind"]].items()}
    kinds = {"momentum": model.momentum, "start": model.has_grid, "pending": model.has_grid and model.at_chunk_end}
    state = axes | {f"{name}_{kind}": letters for name, letters in axes.items() for kind in kinds if kinds[kind]}
    if model.has_grid:
        state["position"] = "B"
    if model.has_grid and model.linear_reads:
        state["log_beta"] = "BH" + {"head": "", "key_channel": key, "value_channel": "V"}[model.per.get("alpha", "head")]
    if model.kind == "preconditioned":
        state["preconditioner"] = f"BH{key}"
    if model.window > 1:
        state |= {"window_k": "BHWK", "window_v": "BHWV", "window_length": "B"}
        state |= {f"window_{name}": "BHW" + ("V" if model.per[name] == "value_channel" else "") for name in model.loss_gates}
    return state
