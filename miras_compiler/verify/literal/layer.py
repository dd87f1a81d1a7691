"""A layer as its spec describes it, in plain sums over tokens: rows, gates, the literal model, the norm and the gate of the output.

It is given the layer's parameters and buffers by name, and computes a batch of whole sequences: no cache, no padding, no packing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from miras_compiler.verify.literal.gates import DECAYS, ERASE_KEYS, PER_WRITE, gate_keyword
from miras_compiler.verify.literal.memory import weight_shapes
from miras_compiler.verify.literal.mirror import slice_axes
from miras_compiler.verify.literal.model import LiteralModel

UNIT_EPSILON, NORM_EPSILON = 1e-6, 1e-5
SIGMOIDS, SOFTPLUSES = ("alpha", "alpha_value", "mu", "gamma", "alpha_d"), ("eta", "eta_d")
PARAMETERS = ("ln_weight", "ln_bias", "feature_coefficients")
RETAINED, ZERO = "1 - alpha", "zero"

Fields = Mapping[str, Any]
Tensors = Mapping[str, Tensor]


class LiteralLayer:
    """The layer of one spec, given as the dictionary of its fields."""

    def __init__(self, fields: Fields, heads: int) -> None:
        self.fields = fields
        self.layer: Fields = fields["layer"]
        self.heads = heads  # of queries and keys
        self.groups = self.layer.get("value_heads", self.layer["heads"]) // self.layer["heads"]
        self.model = LiteralModel(fields)
        self.rows = ("q", "k", "v", *(ERASE_KEYS if self.model.erases else ()))

    def __call__(self, x: Tensor, tensors: Tensors) -> Tensor:
        """[B,T,hidden] → [B,T,hidden]."""
        o, _ = self.remembered(x, tensors)
        return self.output(o, x, tensors)

    def remembered(self, x: Tensor, tensors: Tensors) -> tuple[Tensor, Tensors]:
        """The reads of the memory, [B,T,H,V], with D v where the layer skips, and its final state."""
        gates = {gate_keyword(name): self.gate(name, x, tensors) for name in self.fields["gates"]}
        rows = {name: self.row(name, x, tensors, gates) for name in self.rows}
        q, k, v = rows.pop("q"), rows.pop("k"), rows.pop("v")
        parameters = {name: tensors[name] for name in PARAMETERS if name in tensors}
        o, state, _ = self.model(q, k, v, gates | rows, parameters, self.start(q, v, tensors, parameters))
        return o + tensors["D"].reshape(-1, 1) * v if self.layer.get("skip") else o, state

    def gate(self, name: str, x: Tensor, tensors: Tensors) -> Tensor:
        """A gate as the operator takes it: decays as logarithms; of `steps` writes, n rows per token."""
        source = self.fields["gates"][name].get("source", "input")
        if source == "eta":
            return -rate(tensors, name, 3) * self.gate("eta", x, tensors)
        value = gate_value(f"{name}_gate", source, x, tensors)
        value = value if source == "constant" else squash(self.fields, name, value, tensors)
        return self.writes(value) if name in PER_WRITE else value

    def writes(self, value: Tensor) -> Tensor:
        """[B,T,n·H,…] as [B,n·T,H,…]: head h of write i of a token stands at i·H + h."""
        return value.reshape(value.shape[0], -1, self.heads * self.groups, *value.shape[3:])

    def row(self, name: str, x: Tensor, tensors: Tensors, gates: Tensors) -> Tensor:
        """A row as the operator takes it: projected, or the sum of the terms that it is tied to."""
        tie = self.layer.get("tie", {}).get(name)
        if tie is None:
            return self.projected(name, x, tensors)
        if tie["of"] == ZERO:
            return self.with_zeros(self.projected(name, x, tensors), tie["write"])
        total = self.term(f"{name}_gate", name, tie, x, tensors, gates)
        for number, term in enumerate(tie.get("plus", ()), 2):
            total = total + self.term(f"{name}_gate_{number}", name, term, x, tensors, gates)
        return total

    def term(self, gate: str, name: str, term: Fields, x: Tensor, tensors: Tensors, gates: Tensors) -> Tensor:
        """A row, or 1 − alpha, of this token or of the one before it, times its own gate where it has one."""
        of, own = term["of"], term["gate"]
        if of == RETAINED:
            value = 1 - gates["log_alpha"].exp()
        else:
            value = self.projected(name, x, tensors) if of == name else self.row(of, x, tensors, gates)
        if term.get("lag"):
            value = torch.stack([value[:, t - 1] if t else torch.zeros_like(value[:, 0]) for t in range(value.shape[1])], 1)
        value = -value if term.get("minus") else value
        if own is None:
            return value
        factor = gate_value(gate, own["source"], x, tensors)
        factor = factor if own["source"] == "constant" else torch.sigmoid(factor)
        factor = torch.sqrt(factor) if own.get("root") else factor
        return (factor[..., None] if own["per"] == "head" else factor) * value

    def with_zeros(self, value: Tensor, write: int) -> Tensor:
        """[B,(n−1)·T,H,V] as [B,n·T,H,V], zeros at one write of every token, counted from 1."""
        n = self.model.steps
        rows = iter(value.unbind(1))
        tokens = value.shape[1] // (n - 1)
        return torch.stack([torch.zeros_like(value[:, 0]) if i == write else next(rows) for _ in range(tokens) for i in range(1, n + 1)], 1)

    def projected(self, name: str, x: Tensor, tensors: Tensors) -> Tensor:
        """A row of its own; every head of queries and keys beside itself, once for each head of values that it serves."""
        row = x @ tensors[f"{name}_proj.weight"].mT
        if self.layer["conv"]:
            row = convolved(row, tensors[f"{name}_conv1d.weight"])
        if self.layer["activation"] == "silu":
            row = row * torch.sigmoid(row)
        heads = self.heads * self.groups if name == "v" else self.heads
        several = self.model.steps if name != "q" else 1
        several -= self.layer.get("tie", {}).get(name, {}).get("of") == ZERO
        row = row.reshape(len(row), several * row.shape[1], heads, -1)
        if name != "v" and self.layer["qk_norm"] == "l2":
            row = row / torch.sqrt(row.square().sum(-1, keepdim=True) + UNIT_EPSILON)
        return row if name == "v" else torch.stack([row[:, :, h // self.groups] for h in range(heads * self.groups)], 2)

    def start(self, q: Tensor, v: Tensor, tensors: Tensors, parameters: Tensors) -> Tensors:
        """W_0: the layer's own, or zeros, or the uniform point of every slice."""
        degrees = len(parameters["feature_coefficients"]) - 1 if "feature_coefficients" in parameters else 0
        features = math.comb(q.shape[-1] + degrees, degrees) if degrees else q.shape[-1]
        shapes = weight_shapes(self.fields["memory"], features, v.shape[-1], q.shape[-1])
        if all(name in tensors for name in shapes):
            return {name: self.own_start(tensors[name]).expand(len(q), *tensors[name].shape) for name in shapes}
        zeros = {name: q.new_zeros(len(q), v.shape[2], *shape) for name, shape in shapes.items()}
        retention = self.fields["retention"]
        if retention["kind"] != "f_divergence":
            return zeros
        ones = torch.ones_like(zeros["W"])
        return {"W": float(retention["total"]) * ones / ones.sum(slice_axes(retention["slice"], ones), keepdim=True)}

    def own_start(self, weight: Tensor) -> Tensor:
        """W_0 of one weight [H,R,C]: the layer's numbers, or their exponentials, scaled so that every slice has its total."""
        retention = self.fields["retention"]
        if retention["kind"] != "f_divergence":
            return weight
        axes = slice_axes(retention["slice"], weight[None])
        return float(retention["total"]) * weight.exp() / weight.exp().sum(axes, keepdim=True)

    def output(self, o: Tensor, x: Tensor, tensors: Tensors) -> Tensor:
        if self.layer["output_norm"] != "none":
            centered = o - o.mean(-1, keepdim=True) if self.layer["output_norm"] == "layer" else o
            o = centered / torch.sqrt(centered.square().mean(-1, keepdim=True) + NORM_EPSILON) * tensors["o_norm_weight"]
        o = o.flatten(-2)
        if self.layer["output_gate"]:
            gate = x @ tensors["g_proj.weight"].mT
            o = o * gate * torch.sigmoid(gate)
        return o @ tensors["o_proj.weight"].mT


def squash(fields: Fields, name: str, x: Tensor, tensors: Tensors) -> Tensor:
    """The gate from a number [B,T,H,…], into the range that the spec declares; of a decay the logarithm."""
    gate = fields["gates"][name]
    kind, ends = gate.get("parametrization"), gate.get("range")
    if kind is None and ends is not None:
        kind = "identity" if ends[0] is None else "softplus" if ends[1] is None else "sigmoid"
    if kind is None:
        threshold = fields["attentional_bias"].get("delta") == name
        kind = "softplus" if threshold or name in SOFTPLUSES else "sigmoid" if name in SIGMOIDS else "identity"
    low, high = ends or (-1, 1) if kind == "tanh" else ends or (0, 1)
    match kind:
        case "exp_softplus":
            return -rate(tensors, name, x.dim()) * functional.softplus(x)
        case "exp_sigmoid":
            return math.log(low) * torch.sigmoid(x)
        case "2*sigmoid":
            value = 2 * torch.sigmoid(x)
        case "sigmoid":
            value = low + (high - low) * torch.sigmoid(x)
        case "tanh":
            value = (low + high) / 2 + (high - low) / 2 * torch.tanh(x)
        case "softplus":
            value = low + functional.softplus(x)
        case "positive":
            value = low + torch.exp(x)
        case _:
            value = x
    return value.log() if name in DECAYS else value


def rate(tensors: Tensors, name: str, dimensions: int) -> Tensor:
    """exp(A) of a decay, a number per head, against a gate [B,T,H,…] of so many dimensions."""
    learned: Tensor = tensors[f"{name}_rate.A_log"].exp()
    return learned.reshape(-1, *[1] * (dimensions - 3))


def gate_value(module: str, source: str, x: Tensor, tensors: Tensors) -> Tensor:
    """The input of the squashing, [B,T,…]: the same for all tokens, or a projection of x, through a low rank or not."""
    if source != "input":
        return tensors[f"{module}.value"].expand(*x.shape[:2], *tensors[f"{module}.value"].shape)
    weight = tensors[f"{module}.weight"] if f"{module}.weight" in tensors else tensors[f"{module}.up"] @ tensors[f"{module}.down"]
    bias = tensors[f"{module}.bias"]
    return (x @ weight.mT).reshape(*x.shape[:2], *bias.shape) + bias


def convolved(x: Tensor, weight: Tensor) -> Tensor:
    """y_t = Σ_i weight_i x_{t − W + 1 + i}, channel by channel, [W, channels]; zeros before the first token."""
    width, tokens = len(weight), x.shape[1]
    padded = torch.cat((x.new_zeros(len(x), width - 1, x.shape[-1]), x), 1)
    return torch.stack([(weight * padded[:, t : t + width]).sum(1) for t in range(tokens)], 1)
