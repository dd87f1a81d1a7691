"""The literal optimizers and windows against loops written out for one head, and numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.literal_rules import BEFORE, HEAD, KEY, MATRIX, MLP, MOMENTUM, ON_GRID, RULES, SQUARE, muon, rule
from miras_compiler.verify.inputs import Inputs, InputShape, draw_inputs
from miras_compiler.verify.literal import LiteralModel
from miras_compiler.verify.literal.gates import preconditioner_gain
from miras_compiler.verify.literal.newton_schulz import newton_schulz
from miras_compiler.verify.literal.window import LiteralWindow, look_back, push

Fields = dict[str, Any]
Array = NDArray[np.float64]


def draw(fields: Fields, tokens: int = 7, position: int | None = None, value: int = 3) -> Inputs:
    return draw_inputs(fields, InputShape(2, tokens, 2, 3, value), seed=0, eta=0.5, position=position)


def run(fields: Fields, given: Inputs) -> tuple[Tensor, dict[str, Tensor]]:
    output, state, _ = LiteralModel(fields)(given.q, given.k, given.v, given.gates, given.parameters, given.state)
    return output, state


class Head(dict[str, Array]):
    """One head of one sequence in numpy: every tensor of the inputs without its first and third axis."""

    def __init__(self, given: Inputs, batch: int = 1, head: int = 1) -> None:
        tokens = {"q": given.q, "k": given.k, "v": given.v, **given.gates}
        super().__init__({name: tensor[batch, :, head].numpy() for name, tensor in tokens.items()})
        self.update({name: tensor[batch, head].numpy() for name, tensor in given.state.items() if tensor.dim() > 2})


def orthogonalized(x: Array, triples: list[tuple[float, float, float]]) -> Array:
    """Newton–Schulz through the singular values: every step maps σ to aσ + bσ³ + cσ⁵."""
    left, sigma, right = np.linalg.svd(x / (np.sqrt((x**2).sum()) + 1e-7), full_matrices=False)
    for a, b, c in triples:
        sigma = a * sigma + b * sigma**3 + c * sigma**5
    return np.asarray(left * sigma @ right)


JORDAN = [(3.4445, -4.7750, 2.0315)] * 5
LACT = [
    (4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012),
]  # fmt: skip


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (5, 2), (3, 1)])
@pytest.mark.parametrize("name", ["jordan", "lact"])
def test_newton_schulz_acts_on_singular_values(name: str, shape: tuple[int, int]) -> None:
    x = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    triples = {"jordan": JORDAN, "lact": LACT}[name]
    expected = np.stack([[orthogonalized(head.numpy(), triples) for head in sequence] for sequence in x])
    np.testing.assert_allclose(newton_schulz(x, name).numpy(), expected, rtol=1e-11, atol=1e-12)


def test_newton_schulz_of_zero_is_zero_and_has_a_finite_slope() -> None:
    x = torch.zeros(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    value = newton_schulz(x, "jordan")
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert not value.any()
    assert slope.isfinite().all()


def test_muon_adds_the_orthogonalized_momentum() -> None:
    """S = mu S − g and A = alpha A + eta NS(S), mu without eta."""
    fields = rule(optimizer=muon(), gates=MOMENTUM)
    given = draw(fields)
    head = Head(given)
    state, speed = head["W"], head["W_momentum"]
    for t in range(given.length):
        k, v = head["k"][t], head["v"][t]
        speed = np.exp(head["log_mu"][t]) * speed - np.outer(k, k @ state - v)
        state = np.exp(head["log_alpha"][t]) * state + head["eta"][t] * orthogonalized(speed, JORDAN)
    _, final = run(fields, given)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-10)
    np.testing.assert_allclose(final["W_momentum"][1, 1], speed, rtol=1e-10)


def test_muon_at_the_chunks_end_writes_once_per_full_chunk() -> None:
    """Seven tokens in chunks of three: two writes and a sum that waits. LaCT's form: beta_C A + NS(mean(mu) S − Σ eta g)."""
    fields = rule(optimizer=muon(apply="chunk_end"), gates=MOMENTUM, chunk=ON_GRID | {"size": 3, "read": "chunk_start"})
    given = draw(fields)
    head = Head(given)
    state, speed = head["W"], head["W_momentum"]
    alpha, mu, eta = np.exp(head["log_alpha"]), np.exp(head["log_mu"]), head["eta"]
    outputs: list[Array] = []
    for first in (0, 3, 6):
        tokens = range(first, min(first + 3, 7))
        outputs += [head["q"][t] @ state for t in tokens]
        waits = sum(mu[t] / 3 * speed - eta[t] * np.outer(head["k"][t], head["k"][t] @ state - head["v"][t]) for t in tokens)
        if len(tokens) == 3:
            speed = waits
            state = alpha[first : first + 3].prod() * state + orthogonalized(speed, JORDAN)
    output, final = run(fields, given)
    np.testing.assert_allclose(output[1, :, 1], np.stack(outputs), rtol=1e-9)
    np.testing.assert_allclose(final["W_start"][1, 1], state, rtol=1e-9)
    np.testing.assert_allclose(final["W"][1, 1], alpha[6] * state, rtol=1e-9)
    np.testing.assert_allclose(final["W_momentum"][1, 1], speed, rtol=1e-9)
    np.testing.assert_allclose(final["W_pending"][1, 1], waits, rtol=1e-9)


def test_a_chunk_of_one_writes_at_every_token_and_nothing_waits() -> None:
    fields = rule(optimizer=muon(apply="chunk_end"), gates=MOMENTUM, chunk=ON_GRID | {"size": 1, "read": "chunk_start"})
    given = draw(fields)
    _, final = run(fields, given)
    head = Head(given)
    state, speed = head["W"], head["W_momentum"]
    for t in range(given.length):
        k, v = head["k"][t], head["v"][t]
        speed = np.exp(head["log_mu"][t]) * speed - head["eta"][t] * np.outer(k, k @ state - v)
        state = np.exp(head["log_alpha"][t]) * state + orthogonalized(speed, JORDAN)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-9)
    assert set(final) == {"W", "W_momentum"}


def test_lact_keeps_the_norms_that_columns_had_when_the_chunk_began() -> None:
    fields = RULES["lact"]
    given = draw(fields)
    given = given.tokens(0, 4)
    _, final = run(fields, given)
    for name in ("W1", "W2", "W3"):
        torch.testing.assert_close(final[name].norm(dim=-2), given.state[name].norm(dim=-2))
        assert not torch.allclose(final[name], given.state[name])


@pytest.mark.parametrize("order", ["after_gradient", "before_gradient"])
def test_nesterov_measures_ahead(order: str) -> None:
    fields = rule(optimizer={"kind": "nesterov"}, gates=MOMENTUM, retention=BEFORE | {"order": order})
    given = draw(fields)
    head = Head(given)
    state, speed = head["W"], head["W_momentum"]
    for t in range(given.length):
        alpha, mu, k = np.exp(head["log_alpha"][t]), np.exp(head["log_mu"][t]), head["k"][t]
        ahead = (alpha if order == "before_gradient" else 1) * state + mu * speed
        speed = mu * speed - head["eta"][t] * np.outer(k, k @ ahead - head["v"][t])
        state = alpha * state + speed
    _, final = run(fields, given)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-12)


def test_preconditioned_writes_along_another_key_than_it_reads() -> None:
    fields = rule(optimizer={"kind": "preconditioned"}, retention=BEFORE, gates={"alpha": HEAD, "eta": HEAD, "alpha_d": KEY, "eta_d": HEAD})
    given = draw(fields)
    head = Head(given)
    state, seen = head["W"], head["preconditioner"]
    for t in range(given.length):
        k = head["k"][t]
        state = np.exp(head["log_alpha"][t]) * state
        seen = np.exp(head["log_alpha_d"][t]) * seen + head["eta_d"][t] * k * k
        r = np.log(seen + 1e-6) + 0.2
        gain = np.exp(-np.log(1.5) * r / (1 + abs(r)))
        state = state - head["eta"][t] * np.outer(gain * k, k @ state - head["v"][t])
    _, final = run(fields, given)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-12)
    np.testing.assert_allclose(final["preconditioner"][1, 1], seen, rtol=1e-12)


def test_the_preconditioners_gain_lies_between_two_thirds_and_three_halves() -> None:
    gain = preconditioner_gain(torch.tensor([0.0, 0.8187297530779818, 1e9], dtype=torch.float64))
    assert 1.4 < float(gain[0]) < 1.5
    assert float(gain[1]) == pytest.approx(1, abs=1e-12)
    assert 2 / 3 < float(gain[2]) < 0.7


@pytest.mark.parametrize("on_grid", [False, True])
def test_a_window_measures_the_last_tokens_again(on_grid: bool) -> None:
    """g_t = Σ_l gamma_{t,l} ∇ℓ(W_r; k_{t−l}, v_{t−l}), over chunk borders, from the sequence's start on; eta is this token's."""
    fields = rule(attentional_bias=SQUARE | {"window": 3}, gates={"alpha": HEAD, "eta": HEAD, "gamma": HEAD})
    fields |= {"chunk": ON_GRID} if on_grid else {}
    given = draw(fields)
    head = Head(given)
    state = start = head["W"]
    for t in range(given.length):
        start = state if not on_grid or t % 4 == 0 else start
        gradient = np.zeros_like(state)
        for back in range(min(3, t + 1)):
            k, v = head["k"][t - back], head["v"][t - back]
            gradient = gradient + head["gamma"][t, back] * np.outer(k, k @ start - v)
        state = np.exp(head["log_alpha"][t]) * state - head["eta"][t] * gradient
    _, final = run(fields, given)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-12)
    torch.testing.assert_close(final["window_k"], given.k[:, -2:].transpose(1, 2))
    torch.testing.assert_close(final["window_v"], given.v[:, -2:].transpose(1, 2))
    assert final["window_length"].tolist() == [2, 2]


def test_a_window_keeps_the_gates_that_its_losses_had() -> None:
    fields = RULES["window of a chunk"] | {"memory": MATRIX}
    given = draw(fields)
    head = Head(given)
    state = start = head["W"]
    for t in range(given.length):
        start = state if t % 4 == 0 else start
        gradient = np.zeros_like(state)
        for back in range(min(6, t + 1)):
            k, v, delta = head["k"][t - back], head["v"][t - back], head["delta"][t - back]
            gradient = gradient + head["gamma"][t, back] * np.outer(k, np.clip(k @ start - v, -delta, delta))
        state = np.exp(head["log_alpha"][t]) * state - head["eta"][t] * gradient
    _, final = run(fields, given)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-12)
    torch.testing.assert_close(final["window_delta"], given.gates["delta"][:, -5:].transpose(1, 2))


def test_a_young_window_is_right_aligned_and_its_empty_slots_are_zero() -> None:
    fields = RULES["window of a chunk"]
    given = draw(fields, tokens=2)
    _, final = run(fields, given)
    assert final["window_length"].tolist() == [2, 2]
    assert not final["window_k"][:, :, :3].any()
    torch.testing.assert_close(final["window_k"][:, :, 3:], given.k.transpose(1, 2))


def test_empty_slots_have_no_weight_whatever_they_hold() -> None:
    def rows(n: int) -> dict[str, Tensor]:
        return {name: torch.full((1, 1, n, 1), torch.nan, dtype=torch.float64) for name in ("k", "v")}

    token = {"k": torch.ones(1, 1, 1, 1, dtype=torch.float64), "v": torch.ones(1, 1, 1, 1, dtype=torch.float64)}
    window = LiteralWindow(rows(2), torch.zeros(1, dtype=torch.int64))
    seen = look_back(window, token, torch.tensor([[[0.5, 0.25, 0.125]]], dtype=torch.float64))
    assert seen["gamma"].flatten().tolist() == [0, 0, 0.5]
    assert seen["k"].flatten().tolist() == [1, 1, 1]
    seen = look_back(push(push(window, token), token), token, torch.tensor([[[0.5, 0.25, 0.125]]], dtype=torch.float64))
    assert seen["gamma"].flatten().tolist() == [0.125, 0.25, 0.5]


def test_the_trace_of_several_steps_has_one_row_per_write() -> None:
    fields = RULES["steps"]
    given = draw(fields)
    _, _, trace = LiteralModel(fields)(given.q, given.k, given.v, given.gates, given.parameters, given.state)
    assert trace.loss.shape == trace.error.shape == trace.surprise.shape == (2, 21, 2)
    assert trace.state.shape == (2, 7, 2)
    torch.testing.assert_close(trace.loss, trace.error.square() / 2)


def test_the_norm_clip_is_per_token_and_before_the_window_is_summed() -> None:
    fields = RULES["clip in a window"]
    given = draw(fields)
    head = Head(given)
    state = head["W"]
    for t in range(given.length):
        gradient = np.zeros_like(state)
        for back in range(min(3, t + 1)):
            e = head["k"][t - back] @ state - head["v"][t - back]
            gradient = gradient + head["gamma"][t, back] * np.outer(head["k"][t - back], e * min(1, 0.7 / np.linalg.norm(e)))
        state = np.exp(head["log_alpha"][t]) * state - head["eta"][t] * gradient
    _, final = run(fields, given)
    np.testing.assert_allclose(final["W"][1, 1], state, rtol=1e-12)


def test_two_decays_act_on_rows_and_on_columns() -> None:
    fields = RULES["two decays"]
    given = draw(fields, tokens=2, value=5)
    given.gates["eta"].zero_()
    _, final = run(fields, given)
    rows, columns = given.gates["log_alpha"].sum(1).exp(), given.gates["log_alpha_value"].sum(1).exp()
    torch.testing.assert_close(final["W"], rows[..., :, None] * given.state["W"] * columns[..., None, :])


def test_log_decays_of_every_kind_end_at_minus_sixty() -> None:
    fields = RULES["two decays"]
    given = draw(fields, tokens=1)
    finals = []
    for lowest in (-60.0, -1e3):
        for name in ("log_alpha", "log_alpha_value"):
            given.gates[name].fill_(lowest)
        finals.append(run(fields, given)[1]["W"])
    assert torch.equal(*finals)


def test_a_deep_memorys_muon_takes_every_matrix_by_itself() -> None:
    fields = rule(optimizer=muon(), gates=MOMENTUM, memory=MLP)
    given = draw(fields, tokens=1)
    _, final = run(fields, given)
    alpha, eta = given.gates["log_alpha"][:, 0, :, None, None].exp(), given.gates["eta"][:, 0, :, None, None]
    for name in ("W1", "W2"):
        step = (final[name] - alpha * given.state[name]) / eta
        torch.testing.assert_close(step, newton_schulz(final[f"{name}_momentum"], "jordan"))
