"""The general rule as a loop over tokens, from the literal loss: the function that every generated operator must compute.

    g_t = ∇_W ℓ(M(W_r; φ(k_t)), v_t)    S_t = mu_t S_{t−1} − eta_t g_t    A_t = alpha_t A_{t−1} + S_t
    W_t = ψ(A_t)    y_t = M(W_t; φ(q_t))

Layout as in the operator's contract: tokens [B,T,H,·], gates [B,T,H] (or with a channel axis), decays as logarithms, the state a dictionary
of [B,H,…] tensors. Every operation is differentiable, so autograd through the loop is the reference for all gradients.

Choices of our own: with `steps: n` the trace has one ℓ, ‖e‖ and ‖g‖ per write ([B,n·T,H]) and one ‖A‖ per token; with a window
ℓ and ‖e‖ are the token's own and ‖g‖ is of the whole sum; with three keys u is κ W_r and g the whole step over −eta; the preconditioner's
g has the write key in it. Muon's chunk_end: pending_t = pending_{t−1} + (mu_t/C) S − eta_t g_t and A decays token by token; when the
chunk is full, S = pending, A += NS(S), pending = 0, and weight_norm gives the columns the norms that they had when the chunk began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from miras_compiler.verify.literal.carried import CarriedValues, Weights, size, start_chunk, wide
from miras_compiler.verify.literal.feature_map import features
from miras_compiler.verify.literal.gates import (
    ERASE_KEYS,
    PER_WRITE,
    as_row,
    log_decay,
    loss_gates,
    off_weight,
    on_weight,
    preconditioner_gain,
)
from miras_compiler.verify.literal.memory import predict, weight_shapes
from miras_compiler.verify.literal.mirror import PRIMAL, mirror_map
from miras_compiler.verify.literal.newton_schulz import newton_schulz
from miras_compiler.verify.literal.primal import keep_column_norms, primal_step
from miras_compiler.verify.literal.surprise import Measures, step_of_three_keys, surprise_of
from miras_compiler.verify.literal.window import LiteralWindow, enter_window, leave_window, look_back, push


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
        self.optimizer: Mapping[str, Any] = fields["optimizer"]
        self.kind: str = self.optimizer["kind"]
        self.momentum: bool = self.kind in ("momentum", "nesterov", "muon")
        self.steps: int = self.optimizer.get("steps", 1)
        self.erases: bool = bool(self.optimizer.get("erase_key", False))
        self.at_chunk_end: bool = self.kind == "muon" and self.optimizer["apply"] == "chunk_end"
        self.per = {name: gate.get("per", "head") for name, gate in fields["gates"].items()}
        self.loss_gates = loss_gates(self.bias, fields["gates"])
        self.window: int = self.bias.get("window") or 1
        self.size: int = fields["chunk"]["size"]
        self.reset: int | None = fields["chunk"].get("reset")
        self.has_grid: bool = fields["chunk"]["gradient"] == "chunk_start" and self.size > 1
        self.linear_reads: bool = fields["chunk"]["retention"] == "chunk_end"
        self.read: str = fields["chunk"]["read"]
        self.weight_names = tuple(weight_shapes(self.memory, 1, 1, 1))
        self.dimensions = 3 if self.memory["kind"] == "vector" else 4
        self._recent: list[tuple[Weights, Weights]] = []

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], LiteralTrace]:
        """Outputs [B,T,H,V], the final state in the contract's layout, and the trace. `gates` holds the erase keys too."""
        self._recent = []
        held = self._enter(state, k, v, gates)
        initial = {name: state.get(f"{name}_initial", state[name]) for name in self.weight_names}
        fresh = self._enter(initial, k, v, gates)
        outputs, measured, sizes = [], [], []
        for t in range(q.shape[1]):
            held = self._start(held, fresh)
            before = held
            held, measures = self._token(held, k, v, gates, parameters, t)
            if self.read == "chunk_start":
                read = self._mirrored(held.start)
            else:
                read = self._primal(before if self.read == "before_write" else held)
            outputs.append(predict(self.memory, read, features(self.feature_map, q[:, t], parameters), q[:, t], parameters))
            measured += measures
            sizes.append(size(held.dual))
            held = replace(held, position=(held.position + 1) % (self.reset or self.size))
        self._recent = []
        losses, errors, surprises = (torch.stack(column, 1) for column in zip(*measured, strict=True))
        return torch.stack(outputs, 1), self._leave(held, fresh), LiteralTrace(losses, errors, surprises, torch.stack(sizes, 1))

    def _enter(self, state: Mapping[str, Tensor], k: Tensor, v: Tensor, gates: Mapping[str, Tensor]) -> CarriedValues:
        """The state's parts; absent entries mean no momentum, a fresh chunk, an empty window."""
        dual = {name: state[name] for name in self.weight_names}
        zeros = {name: torch.zeros_like(weight) for name, weight in dual.items()}
        window = None
        if self.window > 1:
            window = enter_window(state, self._row(k, v, gates, 0), self.window - 1)
        return CarriedValues(
            dual=dual,
            momentum={name: state.get(f"{name}_momentum", zeros[name]) for name in dual},
            start={name: state.get(f"{name}_start", dual[name]) for name in dual},
            pending={name: state.get(f"{name}_pending", zeros[name]) for name in dual},
            position=state.get("position", torch.zeros(k.shape[0], dtype=torch.int64)),
            log_beta=self.on_weight("alpha", state["log_beta"]) if "log_beta" in state else self._nothing(k),
            preconditioner=state.get("preconditioner", torch.zeros_like(dual[self.weight_names[0]][..., 0])),
            window=window,
        )

    def _start(self, held: CarriedValues, fresh: CarriedValues) -> CarriedValues:
        """The state before a token: `fresh` where the token is the first after a reset; where it begins a chunk, its state enters it."""
        if self.reset:
            held = begin_anew(held, fresh)
        return replace(start_chunk(replace(held, position=held.position % self.size)), position=held.position)

    def _leave(self, held: CarriedValues, fresh: CarriedValues) -> dict[str, Tensor]:
        """The entries of the contract; a chunk that has just ended is the fresh start of the next one, and so is a memory."""
        held = self._start(held, fresh)
        state = dict(held.dual)
        if self.momentum:
            state |= {f"{name}_momentum": weight for name, weight in held.momentum.items()}
        if self.has_grid:
            state |= {f"{name}_start": weight for name, weight in held.start.items()}
        if self.has_grid or self.reset:
            state["position"] = held.position
        if self.reset:
            state |= {f"{name}_initial": weight for name, weight in fresh.dual.items()}
        if self.has_grid and self.at_chunk_end:
            state |= {f"{name}_pending": weight for name, weight in held.pending.items()}
        if self.has_grid and self.linear_reads:
            state["log_beta"] = off_weight(held.log_beta, self.per.get("alpha", "head"))
        if self.kind == "preconditioned":
            state["preconditioner"] = held.preconditioner
        return state if held.window is None else state | leave_window(held.window)

    def _token(
        self, held: CarriedValues, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], parameters: Mapping[str, Tensor], t: int
    ) -> tuple[CarriedValues, list[Measures]]:
        """All writes of one token: `steps` of them, the decay before the first."""
        token = {name: gate[:, t] for name, gate in gates.items() if name not in PER_WRITE}
        decay = self.log_decay(token, k)
        keep = self.on_weight("mu", log_decay(token, "mu").exp()) if "log_mu" in token else self._nothing(k)
        measures = []
        for step in range(self.steps):
            at = t * self.steps + step
            alpha = (decay if step == 0 else torch.zeros_like(decay)).exp()
            own = token | {name: gates[name][:, at] for name in PER_WRITE if name in gates}
            held, measure = self._one_write(held, self._row(k, v, gates, at), own, alpha, keep, parameters)
            measures.append(measure)
        return replace(held, log_beta=held.log_beta + decay), measures

    def _one_write(
        self, held: CarriedValues, row: Weights, token: Weights, alpha: Tensor, keep: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[CarriedValues, Measures]:
        eta = self.on_weight("eta", token["eta"])
        ahead = {name: keep * held.momentum[name] if self.kind == "nesterov" else torch.zeros_like(held.dual[name]) for name in held.dual}
        weights = self._measured_at(held.dual, held.start, alpha, ahead)
        rows = row
        if held.window is not None:
            rows = look_back(held.window, row, token["gamma"])
            held = replace(held, window=push(held.window, row))
        elif "gamma" in token:
            rows = row | {"gamma": token["gamma"].unsqueeze(-1)}
        if self.erases:
            keys = [features(self.feature_map, key, parameters) for key in (row["k"], *self._erase_keys(row, token))]
            surprise, measures = step_of_three_keys(self.bias, weights, row["v"], *keys)
        else:
            k, v, others = rows["k"], rows["v"], {name: rows[name] for name in rows if name not in ("k", "v")}
            surprise, measures = self._surprise(weights, k, v, others, parameters)
        key = features(self.feature_map, row["k"], parameters).squeeze(-2)
        if self.kind == "implicit":
            eta = eta / (1 + eta * float(self.bias["scale"]) * wide(key.square().sum(-1), self.dimensions))
        if self.kind == "preconditioned":
            decay = log_decay(token, "alpha_d").exp()
            seen = self.on_weight("alpha_d", decay, 3) * held.preconditioner + self.on_weight("eta_d", token["eta_d"], 3) * key.square()
            held = replace(held, preconditioner=seen)
            surprise = {name: preconditioner_gain(seen).unsqueeze(-1) * g for name, g in surprise.items()}
            measures = (*measures[:2], size(surprise))
        if self.at_chunk_end:
            return self._wait(held, surprise, alpha, keep, eta), measures
        dual, momentum = self._write(held.dual, held.momentum, surprise, alpha, keep, eta)
        return replace(held, dual=dual, momentum=momentum), measures

    def _write(
        self, dual: Weights, momentum: Weights, surprise: Weights, alpha: Tensor, keep: Tensor, eta: Tensor
    ) -> tuple[Weights, Weights]:
        """S_t = mu_t S_{t−1} − eta_t g_t and A_t = alpha_t A_{t−1} + S_t, as (A_t, S_t); Muon: S without eta, and eta NS(S) is added."""
        if self.kind == "muon":
            momentum = {name: keep * momentum[name] - surprise[name] for name in dual}
            step = {name: eta * newton_schulz(momentum[name], self.optimizer["coefficients"]) for name in dual}
        else:
            momentum = step = {name: keep * momentum[name] - eta * surprise[name] for name in dual}
        if self.retention["kind"] in PRIMAL:
            written = {name: primal_step(self.retention, dual[name], alpha * dual[name], step[name], eta) for name in dual}
            return written, momentum
        return {name: alpha * dual[name] + step[name] for name in dual}, momentum

    def _wait(self, held: CarriedValues, surprise: Weights, alpha: Tensor, keep: Tensor, eta: Tensor) -> CarriedValues:
        """Muon at the chunk's end: the sum waits, and where this token fills the chunk it is written."""
        full = held.position % self.size == self.size - 1
        dual, momentum, pending = {}, {}, {}
        for name, weight in held.dual.items():
            sum_ = held.pending[name] + keep / self.size * held.momentum[name] - eta * surprise[name]
            decayed = alpha * weight
            here = wide(full, weight.dim())
            written = decayed
            if full.any():
                written = decayed + newton_schulz(sum_, self.optimizer["coefficients"])
                if self.retention["kind"] == "weight_norm":
                    written = keep_column_norms(written, held.start[name])
            dual[name] = torch.where(here, written, decayed)
            momentum[name] = torch.where(here, sum_, held.momentum[name])
            pending[name] = torch.where(here, torch.zeros_like(sum_), sum_)
        return replace(held, dual=dual, momentum=momentum, pending=pending)

    def _measured_at(self, dual: Weights, start: Weights, alpha: Tensor, ahead: Weights) -> Weights:
        """W_r: the weights at which the surprise is measured."""
        if self.has_grid:
            return self._mirrored(start)
        if self.retention["order"] == "before_gradient" or self.kind == "nesterov":
            decay = alpha if self.retention["order"] == "before_gradient" else torch.ones_like(alpha)
            return self._mirrored({name: decay * dual[name] + ahead[name] for name in dual})
        return self._mirrored(dual)

    def _primal(self, held: CarriedValues) -> Weights:
        """W_t; with `retention: chunk_end` the linear path beta_t ψ(A_0) + (A_t − beta_t A_0) instead of ψ(A_t)."""
        if not self.linear_reads:
            return self._mirrored(held.dual)
        beta, start = held.log_beta.exp(), held.start
        return {name: beta * self._mirrored(start)[name] + (held.dual[name] - beta * start[name]) for name in start}

    def _mirrored(self, dual: Weights) -> Weights:
        """ψ of every weight; the last few are remembered, because a state that is read is often measured at next."""
        for known, weights in self._recent:
            if known is dual:
                return weights
        near = self._recent[0][1] if self._recent else {}
        weights = {name: mirror_map(self.retention, weight, near.get(name)) for name, weight in dual.items()}
        self._recent = [(dual, weights), *self._recent[:2]]
        return weights

    def _surprise(
        self, weights: Weights, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> tuple[Weights, Measures]:
        return surprise_of(self.memory, self.feature_map, self.bias, weights, k, v, gates, parameters)

    def _row(self, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], at: int) -> Weights:
        """One write's key and value and the loss's gates, as rows [B,H,1,·]."""
        t = {name: at if name in PER_WRITE else at // self.steps for name in self.loss_gates}
        return {"k": k[:, at].unsqueeze(-2), "v": v[:, at].unsqueeze(-2), **{name: as_row(gates[name][:, t[name]]) for name in t}}

    def _erase_keys(self, row: Weights, token: Weights) -> tuple[Tensor, Tensor]:
        """κ and b as rows; b is k where it is not given."""
        erase, write = (token[name].unsqueeze(-2) if name in token else row["k"] for name in ERASE_KEYS)
        return erase, write

    def log_decay(self, token: Mapping[str, Tensor], k: Tensor) -> Tensor:
        """log alpha_t against a weight, the second decay added; 0 where nothing is forgotten."""
        total = self._nothing(k)
        for name in ("alpha", "alpha_value"):
            if f"log_{name}" in token:
                total = total + self.on_weight(name, log_decay(token, name))
        return total

    def on_weight(self, name: str, gate: Tensor, dimensions: int | None = None) -> Tensor:
        return on_weight(gate, self.per.get(name, "head"), dimensions or self.dimensions)

    def _nothing(self, k: Tensor) -> Tensor:
        """0 per head, against a weight."""
        return wide(torch.zeros_like(k[:, 0, :, 0]), self.dimensions)


def begin_anew(held: CarriedValues, fresh: CarriedValues) -> CarriedValues:
    """The state `fresh` for the sequences at position 0: nothing that they have seen is left."""

    def chosen(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(wide(held.position == 0, old.dim()), new, old)

    def weights(new: Weights, old: Weights) -> Weights:
        return {name: chosen(new[name], weight) for name, weight in old.items()}

    window = held.window
    if window is not None and fresh.window is not None:
        window = LiteralWindow(weights(fresh.window.rows, window.rows), chosen(fresh.window.length, window.length))
    return CarriedValues(
        dual=weights(fresh.dual, held.dual),
        momentum=weights(fresh.momentum, held.momentum),
        start=weights(fresh.start, held.start),
        pending=weights(fresh.pending, held.pending),
        position=held.position,
        log_beta=chosen(fresh.log_beta, held.log_beta),
        preconditioner=chosen(fresh.preconditioner, held.preconditioner),
        window=window,
    )
