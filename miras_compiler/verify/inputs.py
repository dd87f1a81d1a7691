"""Inputs on which packages are tried: random tokens, gates and states of the shapes and ranges that a spec asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.verify.literal.feature_map import COEFFICIENTS, feature_width
from miras_compiler.verify.literal.gates import ERASE_KEYS, PER_WRITE, gate_keyword, inside, loss_gates
from miras_compiler.verify.literal.memory import weight_shapes
from miras_compiler.verify.literal.mirror import slice_axes

DOUBLE = torch.float64


class InputShape(NamedTuple):
    batch: int
    tokens: int
    heads: int
    key: int
    value: int


@dataclass(frozen=True)
class Inputs:
    """The arguments of an operator.

    `gates` holds all that comes by token and by keyword: gates (`log_alpha`, `eta`, …) and erase keys. With `steps` > 1 the keys, the
    values and the gates of a write have that many rows per token.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    gates: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    state: Mapping[str, Tensor]
    cu_seqlens: Tensor | None = field(default=None)
    steps: int = 1

    @property
    def length(self) -> int:
        return self.q.shape[1]

    def by_token(self, function: Callable[[Tensor, int], Tensor]) -> Inputs:
        """`function` applied to every tensor that runs along tokens, with its number of rows per token."""
        return replace(
            self, q=function(self.q, 1), k=function(self.k, self.steps), v=function(self.v, self.steps),
            gates={name: function(gate, self.rows(name)) for name, gate in self.gates.items()},
        )  # fmt: skip

    def tokens(self, first: int, end: int) -> Inputs:
        """Tokens first … end − 1, with the same state."""
        return self.by_token(lambda tensor, rows: tensor[:, rows * first : rows * end])

    def with_tail(self, other: Inputs, t: int) -> Inputs:
        """Tokens t and later from `other`."""
        return replace(
            other.by_token(lambda tensor, rows: tensor[:, rows * t :]).after(self.tokens(0, t)),
            parameters=self.parameters, state=self.state, cu_seqlens=self.cu_seqlens,
        )  # fmt: skip

    def after(self, first: Inputs) -> Inputs:
        """The tokens of `first`, then these."""
        return replace(
            self, q=torch.cat((first.q, self.q), 1), k=torch.cat((first.k, self.k), 1), v=torch.cat((first.v, self.v), 1),
            gates={name: torch.cat((first.gates[name], gate), 1) for name, gate in self.gates.items()},
        )  # fmt: skip

    def rows(self, name: str) -> int:
        """Rows per token of a keyword argument."""
        return self.steps if name in PER_WRITE else 1

    def map(self, function: Callable[[Tensor], Tensor]) -> Inputs:
        """`function` applied to every floating-point tensor."""

        def over(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: function(tensor) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}

        return replace(
            self, q=function(self.q), k=function(self.k), v=function(self.v),
            gates=over(self.gates), parameters=over(self.parameters), state=over(self.state),
        )  # fmt: skip

    def leaves(self) -> dict[str, Tensor]:
        """Every tensor that a gradient belongs to, by name."""
        state = {f"state {name}": tensor for name, tensor in self.state.items() if tensor.is_floating_point()}
        return {"q": self.q, "k": self.k, "v": self.v, **self.gates, **self.parameters, **state}

    def tracked(self) -> Inputs:
        """Fresh leaves that require gradients."""
        return self.map(lambda tensor: tensor.detach().clone().requires_grad_())


Result = tuple[Tensor, dict[str, Tensor]]  # outputs, and the final state
Run = Callable[[Inputs], Result]


def draw_inputs(fields: Mapping[str, Any], shape: InputShape, seed: int, eta: float, position: int | None = None) -> Inputs:
    """Keys and queries of length 1, values of order 1, `eta` the largest step size, thresholds that cut through the residuals.

    Decays lie in (0.7, 1), and closer to 1 the longer the sequence is: a memory with a norm that has forgotten its start is chaotic.
    With `position` the state is one in the middle of a chunk, every entry of it random (the second sequence one token further than the
    first) and every window full; otherwise it holds the weights alone, and the optimizer's entries beside them.
    """
    return _Draw(fields, shape, seed, eta).inputs(position)


class _Draw:
    """Random tensors for one spec, all from one generator."""

    def __init__(self, fields: Mapping[str, Any], shape: InputShape, seed: int, eta: float) -> None:
        self.fields = fields
        self.shape = shape
        self.eta = eta
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = int(fields["optimizer"].get("steps", 1))
        self.features = feature_width(fields["feature_map"], shape.key)
        self.uniform_scale = fields["retention"]["kind"] in ("kl", "sigmoid", "bregman")

    def normal(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self.generator, dtype=DOUBLE)

    def uniform(self, *size: int) -> Tensor:
        return torch.rand(size, generator=self.generator, dtype=DOUBLE)

    def inputs(self, position: int | None) -> Inputs:
        batch, tokens, heads, key, value = self.shape
        writes = tokens * self.steps
        state = self.state(position)
        by_token = {gate_keyword(name): self.gate(name, tokens) for name in self.fields["gates"]}
        if self.fields["optimizer"].get("erase_key"):
            by_token |= {name: _unit(self.normal(batch, writes, heads, key)) for name in ERASE_KEYS}
        return Inputs(
            parameters=self.parameters(),
            q=_unit(self.normal(batch, tokens, heads, key)),
            k=_unit(self.normal(batch, writes, heads, key)),
            v=self.normal(batch, writes, heads, value),
            gates=by_token,
            state=state,
            steps=self.steps,
        )

    def gate(self, name: str, tokens: int) -> Tensor:
        """[B,T,H], [B,T,H,K], [B,T,H,V], and for gamma [B,T,H,c]; in the letter's range."""
        per = self.fields["gates"][name].get("per", "head")
        channels = {"head": (), "key_channel": (self.features,), "value_channel": (self.shape.value,)}[per]
        if name == "gamma":
            channels = (self.fields["attentional_bias"]["window"],)
        rows = tokens * (self.steps if name in PER_WRITE else 1)
        draw = self.uniform(self.shape.batch, rows, self.shape.heads, *channels)
        if name == self.fields["attentional_bias"].get("delta"):
            return 0.3 * 20**draw
        decay = -min(0.35, 5 / tokens) * draw
        letters = {
            "alpha": decay, "alpha_value": decay, "alpha_d": decay, "mu": torch.log(0.1 + 0.8 * draw),
            "eta": self.eta * (0.2 + 0.8 * draw), "gamma": 0.2 + 0.8 * draw,
        }  # fmt: skip
        return letters.get(name, inside(self.fields["gates"][name], draw))

    def weight(self, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
        """Of order 1/√rows, or of order 1 where a mirror map bends; for f_divergence every slice has its total."""
        size = (self.shape.batch, self.shape.heads, *shape)
        retention = self.fields["retention"]
        if retention["kind"] == "f_divergence":
            weight = 0.2 + self.uniform(*size)
            return float(retention["total"]) * weight / weight.sum(slice_axes(retention["slice"], weight), keepdim=True)
        spread = 1.0 if self.uniform_scale or len(shape) == 1 else shape[0] ** -0.5
        return scale * spread * self.normal(*size)

    def state(self, position: int | None) -> dict[str, Tensor]:
        fields, state = self.fields, {}
        batch, _, heads, key, value = self.shape
        inside = position is not None and has_grid(fields)
        optimizer, retention = fields["optimizer"], fields["retention"]["kind"]
        for name, shape in weight_shapes(fields["memory"], self.features, value, key).items():
            state[name] = self.weight(shape)
            if optimizer["kind"] in ("momentum", "nesterov", "muon"):
                state[f"{name}_momentum"] = self.weight(shape, 0.1)
            if inside:
                start = self.weight(shape, 0.1)
                state[f"{name}_start"] = start if retention == "f_divergence" else state[name] + start
            if position is not None and fields["chunk"].get("reset"):
                state[f"{name}_initial"] = self.weight(shape)
            if inside and optimizer.get("apply") == "chunk_end":
                state[f"{name}_pending"] = self.weight(shape, 0.1)
        if optimizer["kind"] == "preconditioned":
            state["preconditioner"] = 0.1 + self.uniform(batch, heads, self.features)
        if position is not None and (has_grid(fields) or fields["chunk"].get("reset")):
            state["position"] = (position + torch.arange(batch)) % period(fields)
        if inside and fields["chunk"]["retention"] == "chunk_end":
            state["log_beta"] = 0.3 * self.gate("alpha", 1)[:, 0] if "alpha" in fields["gates"] else -0.3 * self.uniform(batch, heads)
        return state | (self.window() if position is not None else {})

    def window(self) -> dict[str, Tensor]:
        """A full window, where the bias has one."""
        slots = (self.fields["attentional_bias"].get("window") or 1) - 1
        if slots == 0:
            return {}
        batch, _, heads, key, value = self.shape
        gates = {
            f"window_{name}": self.gate(name, slots).movedim(1, 2)
            for name in loss_gates(self.fields["attentional_bias"], self.fields["gates"])
        }
        return {
            "window_k": _unit(self.normal(batch, heads, slots, key)),
            "window_v": self.normal(batch, heads, slots, value),
            **gates,
            "window_length": torch.full((batch,), slots),
        }

    def parameters(self) -> dict[str, Tensor]:
        parameters = {}
        heads, value = self.shape.heads, self.shape.value
        if self.fields["memory"]["norm"] != "none":
            parameters = {"ln_weight": 1 + 0.2 * self.normal(heads, value), "ln_bias": 0.2 * self.normal(heads, value)}
        if self.fields["feature_map"]["kind"] == "polynomial":
            degrees = torch.arange(self.fields["feature_map"]["degree"] + 1, dtype=DOUBLE)
            parameters[COEFFICIENTS] = torch.lgamma(degrees + 1).exp().rsqrt() * (1 + 0.1 * self.normal(len(degrees)))
        return parameters


def has_grid(fields: Mapping[str, Any]) -> bool:
    """True if gradients are taken at the state that entered the chunk."""
    return bool(fields["chunk"]["gradient"] == "chunk_start" and fields["chunk"]["size"] > 1)


def period(fields: Mapping[str, Any]) -> int:
    """The tokens after which positions begin again: to a reset, where there is one, else to the end of a chunk; 1 without a grid."""
    return int(fields["chunk"].get("reset") or (fields["chunk"]["size"] if has_grid(fields) else 1))


def correlated(inputs: Inputs, step: float) -> Inputs:
    """The same with keys of pairwise cosine ≥ 0.9, step size `step` and no decay: the regime in which a careless inverse explodes."""
    direction = inputs.k[:, :1]
    k = _unit(direction + 0.2 * inputs.k)
    gates = dict(inputs.gates) | {"eta": torch.full_like(inputs.gates["eta"], step)}
    gates |= {name: torch.zeros_like(gates[name]) for name in ("log_alpha", "log_alpha_value") if name in gates}
    return replace(inputs, k=k, gates=gates)


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()
