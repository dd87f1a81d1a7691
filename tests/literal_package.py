"""A package that computes the literal model itself: what verification must accept, and raw material for what it must refuse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras_compiler.spec import load_spec
from miras_compiler.verify.literal import LiteralModel, LiteralTrace
from miras_compiler.verify.literal.memory import weight_shapes
from miras_compiler.verify.package import Package

WEIGHT_AXES = {"matrix": {"W": "KV"}, "mlp": {"W1": "KN", "W2": "NV"}, "swiglu": {"W1": "KN", "W2": "NV", "W3": "KN"}}
SPECS = Path(__file__).resolve().parents[1] / "specs"


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
            cut = {name: tensor if name.startswith("ln_") else tensor[:, first:end] for name, tensor in named.items()}
            pieces.append(self.run(q[:, first:end], k[:, first:end], v[:, first:end], cut, own))
        state = {name: torch.cat([piece[1][name] for piece in pieces]) for name in pieces[0][1]}
        return torch.cat([piece[0] for piece in pieces], 1), state if output_final_state else None

    def trace(self, q: Tensor, k: Tensor, v: Tensor, *, initial_state: Mapping[str, Tensor] | None = None, **named: Tensor) -> LiteralTrace:
        return self.run(q, k, v, named, self.state(initial_state, q, v))[2]

    def state(self, given: Mapping[str, Tensor] | None, q: Tensor, v: Tensor) -> Mapping[str, Tensor]:
        if given is not None:
            return given
        if self.fields["memory"]["kind"] != "matrix" or self.fields["retention"]["kind"] == "lq_printed":
            raise ValueError("initial_state is required")
        shapes = weight_shapes(self.fields["memory"], q.shape[-1], v.shape[-1], q.shape[-1])
        dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
        return {name: torch.zeros(q.shape[0], q.shape[2], *shape, dtype=dtype) for name, shape in shapes.items()}

    def run(
        self, q: Tensor, k: Tensor, v: Tensor, named: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], LiteralTrace]:
        work = torch.float64 if q.dtype == torch.float64 else torch.float32
        parameters = {name: tensor.to(work) for name, tensor in named.items() if name.startswith("ln_")}
        gates = {name: tensor.to(work) for name, tensor in named.items() if not name.startswith("ln_")}
        o, final, trace = self.model(q.to(work), k.to(work), v.to(work), gates, parameters, state)
        return o.to(q.dtype), final, trace


def literal_package(fields: Mapping[str, Any]) -> Package:
    """The package whose every operator is the literal model of `fields`."""
    return package_of(LiteralOperator(fields))


def package_of(operator: LiteralOperator) -> Package:
    """The package whose every operator is this one, with the manifest that it should have."""
    fields, model = operator.fields, operator.model
    gates = [f"log_{name}" if name in ("alpha", "mu") else name for name in fields["gates"]]
    normed = ["ln_weight", "ln_bias"] if fields["memory"]["norm"] != "none" else []
    axes = {name: ["B", "H", *letters] for name, letters in WEIGHT_AXES[fields["memory"]["kind"]].items()}
    state = axes | {f"{name}_momentum": letters for name, letters in axes.items() if model.momentum}
    if model.frozen:
        state |= {f"{name}_start": letters for name, letters in axes.items()} | {"position": ["B"]}
    if model.frozen and model.linear_reads:
        state["log_beta"] = ["B", "H"]
    inputs = {"q": "BTHK", "k": "BTHK", "v": "BTHV"} | dict.fromkeys(gates, "BTH") | dict.fromkeys(normed, "HV")
    manifest = {
        "digest": "0" * 12,
        "inputs": [{"name": name, "axes": list(letters)} for name, letters in inputs.items()],
        "state": [{"name": name, "axes": letters} for name, letters in state.items()],
    }
    return Package(manifest, operator, operator, operator, operator, operator.trace)
