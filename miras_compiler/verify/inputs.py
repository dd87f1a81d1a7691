"""Inputs on which packages are tried: random tokens, gates and states of the shapes and ranges that a spec asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.verify.literal.memory import weight_shapes

DOUBLE = torch.float64


class Shape(NamedTuple):
    batch: int
    tokens: int
    heads: int
    key: int
    value: int


@dataclass(frozen=True)
class Inputs:
    """The arguments of an operator. `gates` holds them under the operator's keywords (`log_alpha`, `eta`, …)."""

    q: Tensor
    k: Tensor
    v: Tensor
    gates: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    state: Mapping[str, Tensor]
    cu_seqlens: Tensor | None = field(default=None)

    @property
    def length(self) -> int:
        return self.q.shape[1]

    def tokens(self, first: int, end: int) -> Inputs:
        """Tokens first … end − 1, with the same state."""
        cut = slice(first, end)
        return replace(
            self, q=self.q[:, cut], k=self.k[:, cut], v=self.v[:, cut], gates={name: gate[:, cut] for name, gate in self.gates.items()}
        )

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


def gate_keyword(name: str) -> str:
    """Decays are passed as logarithms."""
    return f"log_{name}" if name in ("alpha", "mu") else name


def draw_inputs(fields: Mapping[str, Any], shape: Shape, seed: int, eta: float, position: int | None = None) -> Inputs:
    """Keys and queries of length 1, values of order 1, `eta` the largest step size, thresholds that cut through the residuals.

    Decays lie in (0.7, 1), and closer to 1 the longer the sequence is: a memory with a norm that has forgotten its start is chaotic.
    With `position` the state is one in the middle of a chunk, every entry of it random (the second sequence one token further than the
    first); otherwise it holds the weights alone, and the momentum where there is one.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, tokens, heads, key, value = shape

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=DOUBLE)

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, dtype=DOUBLE)

    def gate(name: str) -> Tensor:
        draw = uniform(batch, tokens, heads)
        if name == fields["attentional_bias"].get("delta"):
            return 0.3 * 20**draw
        letters = {"alpha": -min(0.35, 5 / tokens) * draw, "mu": torch.log(0.1 + 0.8 * draw), "eta": eta * (0.2 + 0.8 * draw)}
        return letters.get(name, 0.3 + 1.2 * draw)

    state: dict[str, Tensor] = {}
    for name, (rows, columns) in weight_shapes(fields["memory"], key, value, key).items():
        spread = 1.0 if fields["retention"]["kind"] in ("kl", "sigmoid") else rows**-0.5
        weight = spread * normal(batch, heads, rows, columns)
        state[name] = weight
        if fields["optimizer"]["kind"] == "momentum":
            state[f"{name}_momentum"] = 0.1 * spread * normal(batch, heads, rows, columns)
        if position is not None and is_frozen(fields):
            state[f"{name}_start"] = weight + 0.1 * spread * normal(batch, heads, rows, columns)
    if position is not None and is_frozen(fields):
        state["position"] = (position + torch.arange(batch)) % fields["chunk"]["size"]
        if fields["chunk"]["retention"] == "chunk_end":
            state["log_beta"] = -0.3 * uniform(batch, heads)
    parameters = {}
    if fields["memory"]["norm"] != "none":
        parameters = {"ln_weight": 1 + 0.2 * normal(heads, value), "ln_bias": 0.2 * normal(heads, value)}
    return Inputs(
        q=_unit(normal(batch, tokens, heads, key)),
        k=_unit(normal(batch, tokens, heads, key)),
        v=normal(batch, tokens, heads, value),
        gates={gate_keyword(name): gate(name) for name in fields["gates"]},
        parameters=parameters,
        state=state,
    )


def is_frozen(fields: Mapping[str, Any]) -> bool:
    """Whether gradients are taken at the state that entered the chunk."""
    return bool(fields["chunk"]["gradient"] == "chunk_start" and fields["chunk"]["size"] > 1)


def correlated(inputs: Inputs, step: float) -> Inputs:
    """The same with keys of pairwise cosine ≥ 0.9, step size `step` and no decay: the regime in which a careless inverse explodes."""
    direction = inputs.k[:, :1]
    k = _unit(direction + 0.2 * inputs.k)
    gates = dict(inputs.gates) | {"eta": torch.full_like(inputs.gates["eta"], step)}
    if "log_alpha" in gates:
        gates["log_alpha"] = torch.zeros_like(gates["log_alpha"])
    return replace(inputs, k=k, gates=gates)


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()
