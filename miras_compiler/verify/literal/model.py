"""The general rule as a loop over tokens, from the literal loss: what every generated operator must compute.

    g_t = ∇_W ℓ(M(W_r; φ(k_t)), v_t)    S_t = mu_t S_{t−1} − eta_t g_t    A_t = alpha_t A_{t−1} + S_t
    W_t = ψ(A_t)    y_t = M(W_t; φ(q_t))

Layout as in the operator's contract: tokens [B,T,H,·], gates [B,T,H], decays as logarithms, the state a dictionary of [B,H,·,·] tensors.
Every operation is differentiable, so autograd through the loop is the reference for all gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.verify.literal.bias import has_printed_derivative, loss, norm, printed_derivative
from miras_compiler.verify.literal.feature_map import features
from miras_compiler.verify.literal.memory import predict, weight_shapes
from miras_compiler.verify.literal.mirror import mirror_map

LOWEST_LOG_DECAY = -60.0
Weights = dict[str, Tensor]


class LiteralTrace(NamedTuple):
    """ℓ, ‖e‖ and ‖g‖ of every token at the weights where its surprise is measured, and ‖A‖ after it; each [B,T,H]."""

    loss: Tensor
    error: Tensor
    surprise: Tensor
    state: Tensor


class LiteralModel:
    """The token loop of one spec, given as the dictionary of its fields."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.memory: Mapping[str, Any] = fields["memory"]
        self.bias: Mapping[str, Any] = fields["attentional_bias"]
        self.retention: Mapping[str, Any] = fields["retention"]
        self.feature_map: Mapping[str, Any] = fields["feature_map"]
        self.momentum: bool = fields["optimizer"]["kind"] == "momentum"
        self.size: int = fields["chunk"]["size"]
        self.frozen: bool = fields["chunk"]["gradient"] == "chunk_start" and self.size > 1
        self.linear_reads: bool = fields["chunk"]["retention"] == "chunk_end"
        self.read: str = fields["chunk"]["read"]
        self.weight_names = tuple(weight_shapes(self.memory, 1, 1, 1))

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], LiteralTrace]:
        """Outputs [B,T,H,V], the final state in the contract's layout, and the trace."""
        dual, momentum, start, position, log_beta = self._enter(state, k)
        outputs, traces = [], []
        for t in range(k.shape[1]):
            token = {name: gate[:, t] for name, gate in gates.items()}
            decay = token.pop("log_alpha").clamp(min=LOWEST_LOG_DECAY) if "log_alpha" in token else torch.zeros_like(k[:, t, :, 0])
            keep = token.pop("log_mu").clamp(min=LOWEST_LOG_DECAY).exp() if self.momentum else torch.zeros_like(decay)
            alpha, eta = decay.exp(), token["eta"]
            start, log_beta = self._chunk_start(dual, start, position, log_beta)
            before = dual, start, log_beta
            surprise, measures = self._surprise(self._measured_at(dual, start, alpha), k[:, t], v[:, t], token, parameters)
            dual, momentum = self._write(dual, momentum, surprise, alpha, keep, eta)
            log_beta = log_beta + decay
            if self.read == "chunk_start":
                read = self._mirrored(start)
            else:
                read = self._primal(*before) if self.read == "before_write" else self._primal(dual, start, log_beta)
            outputs.append(predict(self.memory, read, features(self.feature_map, q[:, t]), q[:, t], parameters))
            traces.append((*measures, _size(dual)))
            position = (position + 1) % self.size
        trace = LiteralTrace(*(torch.stack(column, 1) for column in zip(*traces, strict=True)))
        return torch.stack(outputs, 1), self._leave(dual, momentum, start, position, log_beta), trace

    def _enter(self, state: Mapping[str, Tensor], k: Tensor) -> tuple[Weights, Weights, Weights, Tensor, Tensor]:
        """The state's parts; absent entries mean no momentum and a fresh chunk."""
        dual = {name: state[name] for name in self.weight_names}
        momentum = {name: state.get(f"{name}_momentum", torch.zeros_like(dual[name])) for name in dual}
        start = {name: state.get(f"{name}_start", dual[name]) for name in dual}
        position = state.get("position", torch.zeros(k.shape[0], dtype=torch.int64))
        log_beta = state.get("log_beta", torch.zeros_like(k[:, 0, :, 0]))
        return dual, momentum, start, position, log_beta

    def _leave(self, dual: Weights, momentum: Weights, start: Weights, position: Tensor, log_beta: Tensor) -> dict[str, Tensor]:
        """The entries of the contract; a chunk that has just ended is the fresh start of the next one."""
        start, log_beta = self._chunk_start(dual, start, position, log_beta)
        state = dict(dual)
        if self.momentum:
            state |= {f"{name}_momentum": momentum[name] for name in dual}
        if self.frozen:
            state |= {f"{name}_start": start[name] for name in dual}
            state["position"] = position
        if self.frozen and self.linear_reads:
            state["log_beta"] = log_beta
        return state

    def _chunk_start(self, dual: Weights, start: Weights, position: Tensor, log_beta: Tensor) -> tuple[Weights, Tensor]:
        """Where a chunk begins (position 0; with C = 1 every token), the dual state enters it and the decay since then is 1."""
        fresh = position == 0
        if not fresh.any():
            return start, log_beta
        entering = {name: torch.where(_wide(fresh, 4), dual[name], start[name]) for name in dual}
        return entering, torch.where(_wide(fresh, 2), torch.zeros_like(log_beta), log_beta)

    def _write(
        self, dual: Weights, momentum: Weights, surprise: Weights, alpha: Tensor, keep: Tensor, eta: Tensor
    ) -> tuple[Weights, Weights]:
        """S_t = mu_t S_{t−1} − eta_t g_t and A_t = alpha_t A_{t−1} + S_t, as (A_t, S_t)."""
        momentum = {name: _wide(keep, 4) * momentum[name] - _wide(eta, 4) * surprise[name] for name in dual}
        return {name: _wide(alpha, 4) * dual[name] + momentum[name] for name in dual}, momentum

    def _measured_at(self, dual: Weights, start: Weights, alpha: Tensor) -> Weights:
        """W_r: the weights at which the surprise is measured."""
        if self.frozen:
            return self._mirrored(start)
        if self.retention["order"] == "before_gradient":
            return self._mirrored({name: _wide(alpha, 4) * dual[name] for name in dual})
        return self._mirrored(dual)

    def _primal(self, dual: Weights, start: Weights, log_beta: Tensor) -> Weights:
        """W_t; with `retention: chunk_end` the linear path beta_t ψ(A_0) + (A_t − beta_t A_0) instead of ψ(A_t)."""
        if not self.linear_reads:
            return self._mirrored(dual)
        beta = _wide(log_beta.exp(), 4)
        return {name: beta * mirror_map(self.retention, start[name]) + (dual[name] - beta * start[name]) for name in dual}

    def _mirrored(self, dual: Weights) -> Weights:
        return {name: mirror_map(self.retention, dual[name]) for name in dual}

    def _surprise(
        self, weights: Weights, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> tuple[Weights, tuple[Tensor, Tensor, Tensor]]:
        """∇_W ℓ of one token, and (ℓ, ‖e‖, ‖g‖); heads and sequences are independent, so the gradient of the sum is each one's own."""
        mapped = features(self.feature_map, k)

        def memory(w: Weights) -> Tensor:
            return predict(self.memory, w, mapped, k, parameters)

        def total_loss(w: Weights) -> tuple[Tensor, Tensor]:
            u = memory(w)
            return loss(self.bias, u, v, gates).sum(), u

        if has_printed_derivative(self.bias):
            u, pull, *_ = torch.func.vjp(memory, weights)
            (surprise,) = pull(printed_derivative(self.bias, u, v, gates))
        else:
            surprise, u = torch.func.grad(total_loss, has_aux=True)(weights)
        return surprise, (loss(self.bias, u, v, gates).squeeze(-1), norm(u - v).squeeze(-1), _size(surprise))


def _wide(x: Tensor, dimensions: int) -> Tensor:
    return x.reshape(*x.shape, *[1] * (dimensions - x.dim()))


def _size(weights: Weights) -> Tensor:
    """‖·‖ over all weights of a head, [B,H]."""
    return torch.stack([w.square().sum((-2, -1)) for w in weights.values()]).sum(0).sqrt()
