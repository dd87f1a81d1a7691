"""Published recurrences, transcribed by hand: the specs of the same names must compute them.

Every function takes q, k [B,T,H,K], v [B,T,H,V] and its gates by keyword, all plain (decays themselves, not their logarithms), starts from
a state of zeros and returns o [B,T,H,V]. Papers print the state as V×K or K×V; here S is [B,H,K,V] and keys are rows: o = q S. Scales of q,
normalizations and projections belong to the layers and are left out. Where a paper's symbol differs from ours, the docstring says so.
The equations of HGRN2 and Comba could not be looked up; there a section stands in place of the number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ b for rows a [B,H,K] and b [B,H,V]."""
    return a[..., :, None] * b[..., None, :]


def _read(row: Tensor, state: Tensor) -> Tensor:
    """A row times the state: [B,H,K] and [B,H,K,V] → [B,H,V]."""
    return (row[..., None, :] @ state).squeeze(-2)


def _scan(q: Tensor, v: Tensor, step: Callable[[int, Tensor], Tensor]) -> Tensor:
    """S_t = step(t, S_{t−1}) and o_t = q_t S_t, from S = 0."""

    def outputs() -> Iterator[Tensor]:
        state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
        for t in range(q.shape[1]):
            state = step(t, state)
            yield _read(q[:, t], state)

    return torch.stack(list(outputs()), 1)


def retnet(q: Tensor, k: Tensor, v: Tensor, *, gamma: Tensor) -> Tensor:
    """RetNet, arXiv 2307.08621, eq. 6: S_n = γ S_{n−1} + K_nᵀ V_n, one constant γ per head [H] (rotations are in q and k already)."""
    return _scan(q, v, lambda t, s: gamma[:, None, None] * s + _outer(k[:, t], v[:, t]))


def gla(q: Tensor, k: Tensor, v: Tensor, *, alpha: Tensor) -> Tensor:
    """Gated linear attention, arXiv 2312.06635, eq. 3: S_t = (α_tᵀ 1) ⊙ S_{t−1} + k_tᵀ v_t, α per key channel [B,T,H,K]."""
    return _scan(q, v, lambda t, s: alpha[:, t, :, :, None] * s + _outer(k[:, t], v[:, t]))


def mamba2(q: Tensor, k: Tensor, v: Tensor, *, a: Tensor, dt: Tensor) -> Tensor:
    """Mamba-2, arXiv 2405.21060, eq. 2 with A discretized: h_t = exp(Δ_t A) h_{t−1} + Δ_t B_t x_t, y_t = C_tᵀ h_t.

    A < 0 per head [H], Δ [B,T,H]; C, B, x are q, k, v; the skip D x belongs to the layer.
    """
    return _scan(q, v, lambda t, s: (dt[:, t] * a).exp()[..., None, None] * s + _outer(k[:, t], dt[:, t, :, None] * v[:, t]))


def delta_net(q: Tensor, k: Tensor, v: Tensor, *, beta: Tensor) -> Tensor:
    """DeltaNet, arXiv 2406.06484, eq. 3: S_t = S_{t−1} (I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ with the state V×K; β [B,T,H]."""
    eye = torch.eye(k.shape[-1], dtype=k.dtype)
    return _scan(q, v, lambda t, s: (eye - _outer(_b(beta, t) * k[:, t], k[:, t])) @ s + _outer(_b(beta, t) * k[:, t], v[:, t]))


def gated_delta_net(q: Tensor, k: Tensor, v: Tensor, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Gated DeltaNet, arXiv 2412.06464, eq. 10: S_t = S_{t−1} (α_t (I − β_t k_t k_tᵀ)) + β_t v_t k_tᵀ with the state V×K."""
    eye = torch.eye(k.shape[-1], dtype=k.dtype)

    def step(t: int, s: Tensor) -> Tensor:
        transition = _b(alpha, t)[..., None] * (eye - _outer(_b(beta, t) * k[:, t], k[:, t]))
        return transition @ s + _outer(_b(beta, t) * k[:, t], v[:, t])

    return _scan(q, v, step)


def kda(q: Tensor, k: Tensor, v: Tensor, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Kimi Delta Attention, arXiv 2510.26692, eq. 1: S_t = (I − β_t k_t k_tᵀ) Diag(α_t) S_{t−1} + β_t k_t v_tᵀ, α per key channel."""
    eye = torch.eye(k.shape[-1], dtype=k.dtype)

    def step(t: int, s: Tensor) -> Tensor:
        transition = (eye - _outer(_b(beta, t) * k[:, t], k[:, t])) @ torch.diag_embed(alpha[:, t])
        return transition @ s + _outer(_b(beta, t) * k[:, t], v[:, t])

    return _scan(q, v, step)


def rwkv7(q: Tensor, k: Tensor, v: Tensor, *, w: Tensor, kappa: Tensor, a: Tensor) -> Tensor:
    """RWKV-7, arXiv 2503.14456, eq. 17: wkv_t = wkv_{t−1} (diag(w_t) − κ̂_tᵀ (a_t ⊙ κ̂_t)) + v_tᵀ k̃_t, y_t = wkv_t r_tᵀ.

    The state is V×K there; w, a and the removal key κ̂ (normalized already) are per key channel [B,T,H,K]; r and k̃ are q and k.
    """

    def step(t: int, s: Tensor) -> Tensor:
        transition = torch.diag_embed(w[:, t]) - _outer(kappa[:, t], a[:, t] * kappa[:, t])  # acts on wkv from the right
        return (s.mT @ transition + _outer(v[:, t], k[:, t])).mT

    return _scan(q, v, step)


def delta_product(q: Tensor, k: Tensor, v: Tensor, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Gated DeltaProduct, arXiv 2502.10297v7, eq. 3: H_i = A_i H_{i−1} + B_i, o_i from H_i, with n writes per token.

    A_i = g_i Π_j (I − β_{i,j} k_{i,j} k_{i,j}ᵀ), and every write adds β_{i,j} k_{i,j} v_{i,j}ᵀ before the later ones erase. k, v and
    β have n·T rows, writes of a token next to each other; g is alpha [B,T,H].
    """
    n = k.shape[1] // q.shape[1]
    eye = torch.eye(k.shape[-1], dtype=k.dtype)

    def step(t: int, s: Tensor) -> Tensor:
        transition, added = _b(alpha, t)[..., None] * eye, torch.zeros_like(s)
        for j in range(n * t, n * (t + 1)):
            householder = eye - _outer(_b(beta, j) * k[:, j], k[:, j])
            transition, added = householder @ transition, householder @ added + _outer(_b(beta, j) * k[:, j], v[:, j])
        return transition @ s + added

    return _scan(q, v, step)


def longhorn(q: Tensor, k: Tensor, v: Tensor, *, beta: Tensor) -> Tensor:
    """Longhorn, arXiv 2407.14207, theorem 3.1, the closed form before its diagonal approximation:

    S_t = argmin ‖S − S_{t−1}‖² + β ‖S k − x‖² = S_{t−1} (I − Δ k kᵀ) + Δ x kᵀ, Δ = β/(1 + β kᵀk); x is v. The argmin is solved as such.
    """
    eye = torch.eye(k.shape[-1], dtype=k.dtype)

    def step(t: int, s: Tensor) -> Tensor:
        weighted = _outer(_b(beta, t) * k[:, t], k[:, t])
        solved: Tensor = torch.linalg.solve(eye + weighted, s + _outer(_b(beta, t) * k[:, t], v[:, t]))
        return solved

    return _scan(q, v, step)


def comba(q: Tensor, k: Tensor, v: Tensor, *, alpha: Tensor, beta: Tensor, p: Tensor) -> Tensor:
    """Comba, arXiv 2506.02475, section 3, in the order of its naive reference code in flash-linear-attention:

    the state decays, the prediction at the feedback key p is taken out, the write goes along k: S = α S; S += kᵀ β (v − p S). The output
    correction q − d k belongs to the layer. alpha, beta [B,T,H]; p [B,T,H,K]. The paper calls the transition scalar plus low rank,
    S (α − β p kᵀ), which takes the prediction before the decay; docs/mathematics.md §5 says before_gradient, and so does this function.
    """

    def step(t: int, s: Tensor) -> Tensor:
        s = _b(alpha, t)[..., None] * s
        return s + _outer(k[:, t], _b(beta, t) * (v[:, t] - _read(p[:, t], s)))

    return _scan(q, v, step)


def hgrn2(q: Tensor, v: Tensor, *, alpha: Tensor) -> Tensor:
    """HGRN2, arXiv 2404.07904, section 3: h_t = h_{t−1} Diag(α_t) + i_t ⊗ (1 − α_t), y_t = h_t o_t; α per key channel, i, o are v, q."""
    return _scan(q, v, lambda t, s: alpha[:, t, :, :, None] * s + _outer(1 - alpha[:, t], v[:, t]))


def _b(gate: Tensor, t: int) -> Tensor:
    """A gate per head at one token, against a row."""
    return gate[:, t, :, None]
