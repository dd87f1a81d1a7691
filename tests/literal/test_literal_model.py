"""The literal token loop against plain transcriptions of the papers, and the meaning of its state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.literal_package import fields_of
from kit.literal_rules import RULES
from miras_compiler.verify.inputs import Inputs, InputShape, draw_inputs
from miras_compiler.verify.literal import LiteralModel
from miras_compiler.verify.literal.mirror import mirror_map

Fields = dict[str, Any]


def draw(fields: Fields, tokens: int = 7, position: int | None = None) -> Inputs:
    return draw_inputs(fields, InputShape(2, tokens, 2, 3, 3), seed=0, eta=0.5, position=position)


def run(fields: Fields, given: Inputs) -> tuple[Tensor, dict[str, Tensor]]:
    output, state, _ = LiteralModel(fields)(given.q, given.k, given.v, given.gates, given.parameters, given.state)
    return output, state


def outer(a: Tensor, b: Tensor) -> Tensor:
    return a[..., :, None] * b[..., None, :]


def test_linear_attention_is_the_sum_of_outer_products() -> None:
    fields = fields_of("linear_attention")
    given = draw(fields)
    state = given.state["W"] + (given.gates["eta"][..., None, None] * outer(given.k, given.v)).cumsum(1).transpose(1, 0)
    output, final = run(fields, given)
    expected = torch.einsum("bthk,tbhkv->bthv", given.q, state)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(final["W"], state[-1])


def test_gated_delta_rule_is_the_papers_recurrence() -> None:
    """Gated DeltaNet eq. 10, keys on the left: S ← alpha (I − beta kᵀk) S + beta kᵀv."""
    fields = fields_of("gated_delta_net")
    given = draw(fields)
    output, final = run(fields, given)
    eye = torch.eye(3, dtype=torch.float64)
    state, rows = given.state["W"], []
    for t in range(given.length):
        k, v, q = given.k[:, t], given.v[:, t], given.q[:, t]
        alpha, beta = given.gates["log_alpha"][:, t, :, None, None].exp(), given.gates["eta"][:, t, :, None, None]
        state = (eye - beta * outer(k, k)) @ (alpha * state) + beta * outer(k, v)
        rows.append((q[..., None, :] @ state).squeeze(-2))
    torch.testing.assert_close(output, torch.stack(rows, 1))
    torch.testing.assert_close(final["W"], state)


@pytest.mark.parametrize("order", ["before_gradient", "after_gradient"])
@pytest.mark.parametrize("momentum", [False, True])
def test_momentum_decays_before_the_surprise_is_added(order: str, momentum: bool) -> None:
    """Titans eq. 13–14 with a matrix: S = mu S − eta g, A = alpha A + S."""
    optimizer = {"kind": "momentum" if momentum else "gradient_descent"}
    fields = fields_of("gated_delta_net", retention={"kind": "l2", "order": order}, optimizer=optimizer)
    fields["gates"] = {"alpha": {}, "eta": {}} | ({"mu": {}} if momentum else {})
    given = draw(fields)
    state, speed = given.state["W"], given.state.get("W_momentum", torch.zeros_like(given.state["W"]))
    for t in range(given.length):
        alpha, eta = given.gates["log_alpha"][:, t, :, None, None].exp(), given.gates["eta"][:, t, :, None, None]
        mu = given.gates["log_mu"][:, t, :, None, None].exp() if momentum else 0
        k = given.k[:, t]
        measured = alpha * state if order == "before_gradient" else state
        gradient = outer(k, (k[..., None, :] @ measured).squeeze(-2) - given.v[:, t])
        speed = mu * speed - eta * gradient
        state = alpha * state + speed
    _, final = run(fields, given)
    torch.testing.assert_close(final["W"], state)
    assert ("W_momentum" in final) == momentum
    if momentum:
        torch.testing.assert_close(final["W_momentum"], speed)


def chunked(**changes: Any) -> Fields:
    """A matrix memory with gradients at the start of chunks of three."""
    chunk = {"size": 3, "gradient": "chunk_start", "read": "after_write", "retention": "per_token"} | changes
    return fields_of("gated_delta_net", retention={"kind": "l2", "order": "after_gradient"}, chunk=chunk)


def test_gradients_of_a_chunk_are_taken_where_the_position_says_it_began() -> None:
    """Chunks of three entered after two and after three (that is zero) tokens: W_r changes at tokens 1, 4, 7 and at 0, 3, 6."""
    fields = chunked()
    given = draw(fields, position=2)
    assert given.state["position"].tolist() == [2, 0]
    dual, start = given.state["W"], given.state["W_start"]
    for t in range(given.length):
        fresh = (given.state["position"] + t) % 3 == 0
        start = torch.where(fresh[:, None, None, None], dual, start)
        k, alpha = given.k[:, t], given.gates["log_alpha"][:, t, :, None, None].exp()
        gradient = outer(k, (k[..., None, :] @ start).squeeze(-2) - given.v[:, t])
        dual = alpha * dual - given.gates["eta"][:, t, :, None, None] * gradient
    _, final = run(fields, given)
    torch.testing.assert_close(final["W"], dual)
    assert final["position"].tolist() == [0, 1]
    assert torch.equal(final["W_start"][0], final["W"][0])
    torch.testing.assert_close(final["W_start"][1], start[1])


def test_reads_before_the_write_and_at_the_chunk_start() -> None:
    given = draw(chunked())
    after, _ = run(chunked(), given)
    before, _ = run(chunked(read="before_write"), given)
    at_start, _ = run(chunked(read="chunk_start"), given)
    first = (given.q[:, 0, :, None, :] @ given.state["W"]).squeeze(-2)
    torch.testing.assert_close(before[:, 0], first)
    torch.testing.assert_close(at_start[:, :3], (given.q[:, :3, :, None, :] @ given.state["W"][:, None]).squeeze(-2))
    assert not torch.allclose(after[:, 0], first)
    torch.testing.assert_close(before[:, 3], at_start[:, 3])


def test_chunk_end_reads_the_linear_path_from_the_mapped_state() -> None:
    """beta_t ψ(A_0) + (A_t − beta_t A_0) inside a chunk, the last token included; ψ(A_C) enters the next one."""
    retention = {"kind": "sigmoid", "order": "after_gradient"}
    fields = chunked(retention="chunk_end") | {"retention": retention}
    given = draw(fields)
    output, final = run(fields, given)
    start = given.state["W"]
    _, after_three = run(fields, given.tokens(0, 3))
    beta = given.gates["log_alpha"][:, :3].sum(1).exp()[..., None, None]
    read = beta * torch.sigmoid(start) + after_three["W"] - beta * start
    torch.testing.assert_close(output[:, 2], (given.q[:, 2, :, None, :] @ read).squeeze(-2))
    assert not after_three["log_beta"].any()
    torch.testing.assert_close(final["log_beta"], given.gates["log_alpha"][:, 6])
    late, _ = run(chunked(retention="chunk_end", read="before_write") | {"retention": retention}, given)
    torch.testing.assert_close(late[:, 3], (given.q[:, 3, :, None, :] @ mirror_map(retention, after_three["W"])).squeeze(-2))


def test_a_chunk_of_one_token_is_exact_and_keeps_no_chunk_state() -> None:
    fields = chunked(size=1)
    given = draw(fields)
    exact, _ = run(fields_of("gated_delta_net", retention={"kind": "l2", "order": "after_gradient"}), given)
    output, final = run(fields, given)
    torch.testing.assert_close(output, exact)
    assert set(final) == {"W"}
    at_start, _ = run(chunked(size=1, read="chunk_start"), given)
    before, _ = run(chunked(size=1, read="before_write"), given)
    torch.testing.assert_close(at_start, before)


@pytest.mark.parametrize(("name", "entries"), [
    ("steps", {"W"}),
    ("nesterov", {"W", "W_momentum"}),
    ("preconditioned", {"W", "preconditioner"}),
    ("muon at the chunk's end", {"W", "W_momentum", "W_pending", "W_start", "position"}),
    ("window", {"W", "window_k", "window_v", "window_length"}),
    ("window of one", {"W"}),
    ("window of gates per value channel",
     {"W", "W_momentum", "W_start", "position", "window_k", "window_v", "window_rho", "window_length"}),
    ("sigmoid on a linear path per key channel", {"W", "W_start", "position", "log_beta"}),
])  # fmt: skip
def test_final_state_of_a_richer_rule(name: str, entries: set[str]) -> None:
    """Shapes as drawn for the initial state, so that a final state can be an initial one."""
    fields = RULES[name]
    given = draw_inputs(fields, InputShape(2, 3, 2, 3, 4), seed=0, eta=0.5, position=2)
    _, final = run(fields, given)
    assert set(final) == entries == set(given.state)
    for entry, tensor in final.items():
        assert tensor.shape == given.state[entry].shape


@pytest.mark.parametrize("name", RULES)
def test_any_cut_of_a_sequence_gives_the_same_function(name: str) -> None:
    """Seven tokens at once, and one by one from the same state in the middle of a chunk."""
    fields = RULES[name]
    value = 3 if fields["memory"]["residual"] or fields["memory"]["kind"] == "vector" else 4
    given = draw_inputs(fields, InputShape(2, 7, 2, 3, value), seed=0, eta=0.2, position=2)
    whole, final = run(fields, given)
    outputs, state = [], given.state
    for t in range(given.length):
        output, state = run(fields, replace(given.tokens(t, t + 1), state=state))
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-10, atol=1e-12)
    for entry, tensor in final.items():
        torch.testing.assert_close(state[entry], tensor, rtol=1e-10, atol=1e-12)


def test_log_decays_below_minus_sixty_are_read_as_minus_sixty() -> None:
    fields = chunked()
    given = draw(fields, tokens=1)
    states = []
    for decay in (-60.0, -float("inf"), -1e4):
        given.gates["log_alpha"].fill_(decay)
        states.append(run(fields, given)[1]["W"])
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("linear_attention", {"W"}),
        ("yaad", {"W1", "W2", "W1_start", "W2_start", "position"}),
        ("moneta", {"W1", "W2", "W1_start", "W2_start", "position", "log_beta"}),
        ("titans_lmm", {"W1", "W2", "W1_momentum", "W2_momentum", "W1_start", "W2_start", "position"}),
    ],
)
def test_final_state_has_the_entries_of_the_contract(name: str, entries: set[str]) -> None:
    fields = fields_of(name)
    _, final = run(fields, draw(fields, tokens=2))
    assert set(final) == entries
