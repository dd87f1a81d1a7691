"""The coefficients of a chunk in closed form are those of the unrolled recurrence, exactly, for explicit gates."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp

from kit.spec_texts import edited, parsed
from miras_compiler.derive import derive_chunk_coefficients, derive_update_rule
from miras_compiler.derive.chunk_coefficients import J, T
from miras_compiler.derive.rule import describe_rule
from miras_compiler.spec import Spec

LAST = 4
MOMENTUM = "optimizer: {kind: momentum}\n"
SPECS: dict[str, Spec] = {
    "alpha": parsed(edited()),
    "neither": parsed(edited(("{kind: l2}\ngates", "{kind: none}\ngates"), ("  alpha: {}\n", ""))),
    "alpha and momentum": parsed(edited(("gates:", f"{MOMENTUM}gates:"), more="  mu: {}\n")),
    "momentum alone": parsed(edited(("{kind: l2}\ngates:", f"{{kind: none}}\n{MOMENTUM}gates:"), ("  alpha: {}\n", ""), more="  mu: {}\n")),
}


def gate(name: str, t: int) -> sp.Expr:
    return sp.Function(name)(sp.Integer(t))


def unrolled(spec: Spec) -> list[tuple[sp.Expr, sp.Expr]]:
    """(A_t, S_t) for t = 0 … 4 in the letters A0, S0, g_1 … g_4."""
    dual, momentum = sp.Symbol("A0"), sp.Symbol("S0")
    states = [(dual, momentum)]
    for t in range(1, LAST + 1):
        alpha = gate("alpha", t) if "alpha" in spec.gates else sp.Integer(1)
        mu = gate("mu", t) if "mu" in spec.gates else sp.Integer(0)
        momentum = mu * momentum - gate("eta", t) * sp.Symbol(f"g{t}")
        dual = alpha * dual + momentum
        states.append((sp.expand(dual), sp.expand(momentum)))
    return states


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_closed_forms_are_the_unrolled_recurrence(name: str) -> None:
    spec = SPECS[name]
    closed = dict(derive_chunk_coefficients(describe_rule(spec)).equations())
    states = unrolled(spec)

    def at(coefficient: str, t: int, j: int = 0) -> sp.Expr:
        return sp.expand(closed[coefficient].subs({T: t, J: j}).doit()) if coefficient in closed else sp.Integer(0)

    for t in range(1, LAST + 1):
        dual, momentum = states[t]
        assert at("β_t", t) == dual.coeff(sp.Symbol("A0"))
        for j in range(1, t + 1):
            assert at("G_tj", t, j) == sp.expand(-dual.coeff(sp.Symbol(f"g{j}"))), (t, j)
        if "mu" in spec.gates:
            assert at("ω_t", t) == dual.coeff(sp.Symbol("S0"))
            assert at("m_t", t) == momentum.coeff(sp.Symbol("S0"))
            for j in range(1, t + 1):
                assert at("n_tj", t, j) == -momentum.coeff(sp.Symbol(f"g{j}"))


@pytest.mark.parametrize("name", SPECS)
def test_without_momentum_there_are_no_coefficients_of_it(name: str) -> None:
    names = [coefficient for coefficient, _ in derive_chunk_coefficients(describe_rule(SPECS[name])).equations()]
    assert names == ["β_t", "ω_t", "G_tj", "m_t", "n_tj"] if "mu" in SPECS[name].gates else names == ["β_t", "G_tj"]


LINES: dict[str, list[str]] = {
    "alpha": ["A_t = β_t A[0] − Σ_{j≤t} G_tj g_j", "β_t = Π_{l=1..t} α_l", "G_tj = η_j Π_{l=j+1..t} α_l"],
    "neither": ["A_t = β_t A[0] − Σ_{j≤t} G_tj g_j", "β_t = 1", "G_tj = η_j"],
    "alpha and momentum": [
        "A_t = β_t A[0] + ω_t S[0] − Σ_{j≤t} G_tj g_j",
        "S_t = m_t S[0] − Σ_{j≤t} n_tj g_j",
        "β_t = Π_{l=1..t} α_l",
        "ω_t = Σ_{i=1..t} (Π_{l=i+1..t} α_l) (Π_{l=1..i} μ_l)",
        "G_tj = η_j Σ_{i=j..t} (Π_{l=i+1..t} α_l) (Π_{l=j+1..i} μ_l)",
        "m_t = Π_{l=1..t} μ_l",
        "n_tj = η_j Π_{l=j+1..t} μ_l",
    ],
    "momentum alone": [
        "A_t = β_t A[0] + ω_t S[0] − Σ_{j≤t} G_tj g_j",
        "S_t = m_t S[0] − Σ_{j≤t} n_tj g_j",
        "β_t = 1",
        "ω_t = Σ_{i=1..t} Π_{l=1..i} μ_l",
        "G_tj = η_j Σ_{i=j..t} Π_{l=j+1..i} μ_l",
        "m_t = Π_{l=1..t} μ_l",
        "n_tj = η_j Π_{l=j+1..t} μ_l",
    ],
}


@pytest.mark.parametrize("name", SPECS)
def test_coefficients_read_as_in_the_mathematics(name: str) -> None:
    assert derive_update_rule(SPECS[name]).unrolled_text()[: len(LINES[name])] == LINES[name]


def test_mu_0_leaves_the_coefficients_of_gradient_descent() -> None:
    """G_tj with mu ≡ 0 is eta_j beta_t / beta_j, and f vanishes."""
    with_momentum = dict(derive_chunk_coefficients(describe_rule(SPECS["alpha and momentum"])).equations())
    plain: dict[str, Any] = dict(derive_chunk_coefficients(describe_rule(SPECS["alpha"])).equations())

    def without(expr: sp.Expr, j: int) -> sp.Expr:
        return expr.subs({T: LAST, J: j}).doit().replace(sp.Function("mu"), lambda l: sp.Integer(0))  # noqa: E741

    for j in range(1, LAST + 1):
        assert without(with_momentum["G_tj"], j) == plain["G_tj"].subs({T: LAST, J: j}).doit()
    assert without(with_momentum["ω_t"], 1) == 0
