"""The coefficients of a chunk, by unrolling the rule's two linear recurrences (docs/mathematics.md §7).

    S_t = mu_t S_{t−1} − eta_t g_t        A_t = alpha_t A_{t−1} + S_t

A linear recurrence x_t = a_t x_{t−1} + b_t has the solution x_t = D_t0 x_0 + Σ_i D_ti b_i with the decay triangle D_ti = Π_{i<l≤t} a_l.
Substituting one solution into the other gives every coefficient as a product of triangles, which `lower` builds, and which is written out
here as sums and products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import sympy as sp

from miras_compiler.derive.parts import Recurrence
from miras_compiler.derive.rule import Rule

T, J, I, L = sp.symbols("t j i l", integer=True)  # noqa: E741


class Path(NamedTuple):
    """The path of an earlier value to a later state: through one decay triangle after another, the outermost first.

    It starts at the token j, weighed by its step size or ("surprise") not, or at the state before the first token.
    """

    decays: tuple[str | None, ...]
    start: str  # "token", "surprise", or the state it starts from

    @property
    def from_token(self) -> bool:
        return self.start in ("token", "surprise")


@dataclass(frozen=True)
class ChunkCoefficients:
    """A_t = beta_t A_0 + reach_t S_0 − Σ_{j≤t} G_tj g_j, and with momentum S_t = m_t S_0 − Σ_{j≤t} n_tj g_j."""

    beta: Path
    reach: Path | None
    G: Path
    m: Path | None
    n: Path | None

    def equations(self) -> tuple[tuple[str, sp.Expr], ...]:
        """Name and closed form of each coefficient, in alpha_i, mu_i, eta_j."""
        named = {"β_t": self.beta, "ω_t": self.reach, "G_tj": self.G, "m_t": self.m, "n_tj": self.n}
        return tuple((name, closed_form(path)) for name, path in named.items() if path is not None)


def derive_chunk_coefficients(rule: Rule) -> ChunkCoefficients:
    """The coefficients of a rule: the solution of its recurrences. Of two decays of A the second acts on columns, apart from these."""
    of_state, momentum = rule.recurrences["A"], rule.recurrences.get("S")
    if momentum is None:
        unrolled = unroll((of_state,))
        return ChunkCoefficients(unrolled["A"], None, unrolled["token"], None, None)
    past = unroll((momentum,))
    if rule.update.orthogonal is not None:  # A adds up steps of S, and S the surprises themselves
        steps = unroll((of_state,))
        return ChunkCoefficients(steps["A"], None, steps["token"], past["S"], past["token"]._replace(start="surprise"))
    both = unroll((of_state, momentum))
    return ChunkCoefficients(both["A"], both["S"], both["token"], past["S"], past["token"])


def unroll(chain: tuple[Recurrence, ...]) -> dict[str, Path]:
    """The solution of a chain of recurrences, each the source of the one before; the source of the last is −eta_j g_j.

    Under each state's name the path from its value before the first token, under "token" the path from g_j.
    """
    paths: dict[str, Path] = {}
    decays: tuple[str | None, ...] = ()
    for recurrence in chain:
        decays = (*decays, next(iter(recurrence.decays), None))
        paths[recurrence.state] = Path(decays, recurrence.state)
    return paths | {"token": Path(decays, "token")}


def closed_form(path: Path) -> sp.Expr:
    """The coefficient at t of a path that starts at the token j, or before the first token, as sums and products of gates."""
    from_token = path.from_token
    outer, *inner = path.decays
    weight = sp.Function("eta")(J) if path.start == "token" else sp.Integer(1)
    if not inner:
        return weight * _decay(outer, J if from_token else sp.Integer(0), T)
    (second,) = inner
    start = J if from_token else sp.Integer(0)
    first = start if from_token else sp.Integer(1)
    return weight * sp.Sum(_decay(outer, I, T) * _decay(second, start, I), (I, first, T))


def _decay(gate: str | None, start: sp.Expr, end: sp.Expr) -> sp.Expr:
    """D_end,start = Π_{start<l≤end} gate_l."""
    return sp.Integer(1) if gate is None else sp.Product(sp.Function(gate)(L), (L, start + 1, end))
