"""Teacher-forced tokens: no sign in doubt, no gradient that amplifies, and every chunk from the state behind the one before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from miras_compiler import compile_spec, load_spec
from miras_compiler.bench.forced import MARGINS, Forced, Signs, apart, forced
from miras_compiler.bench.precision import STEADY, own_error_of, rms, run, sensitivity
from miras_compiler.bench.subject import MeasuredPackage, Regime, Shape
from miras_compiler.spec import parse_spec

SHAPE, STEEP = Shape(1, 256, 2, 16, 16, 32), Regime(0.05)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> MeasuredPackage:
    pytest.importorskip("triton")
    return MeasuredPackage(compile_spec(load_spec("specs/yaad.yaml", {"chunk.size": 32})).write(tmp_path_factory.mktemp("packages")), "cpu")


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16])
def given(request: pytest.FixtureRequest, subject: MeasuredPackage) -> Forced:
    return forced(subject, SHAPE, request.param, STEEP)


def signed(subject: MeasuredPackage, given: Forced) -> torch.Tensor:
    with Signs() as signs:
        subject.reference(**given.inputs, initial_state=given.state, cu_seqlens=given.cu_seqlens)
    return torch.cat([x.flatten() for x in signs.found])


@pytest.mark.slow
def test_sequences_of_one_length_give_as_a_batch_what_they_give_packed(subject: MeasuredPackage) -> None:
    """Outputs, final states and every gradient, for the same random gradients of outputs."""
    shape, number = SHAPE._replace(tokens=64), 2
    inputs, state = subject.inputs(shape, STEEP, torch.float64), subject.state(number, shape)
    packed = run(subject.reference, inputs, state, torch.tensor([0, 32, 64], dtype=torch.int32))
    batch = subject.members(run(subject.reference, subject.members(inputs, number), state), 1)
    assert packed.keys() == batch.keys()
    for name, x in packed.items():
        torch.testing.assert_close(batch[name], x)


NAMED_W = """
name: x
memory: {kind: matrix}
attentional_bias: {kind: formula, loss: "sum((1 + W**2) * (u - v)**2)"}
retention: {kind: l2}
gates: {alpha: {}, eta: {}, W: {}}
"""


@pytest.mark.slow
def test_a_gate_that_is_called_like_the_state_has_a_gradient_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    subject = MeasuredPackage(compile_spec(parse_spec(NAMED_W, "x.yaml")).write(tmp_path), "cpu")
    shape = Shape(2, 5, 3, 4, 4, 0)
    inputs, state = subject.inputs(shape, STEEP, torch.float64), subject.state(2, shape)
    assert (inputs["W"].shape, state["W"].shape) == ((2, 5, 3), (2, 3, 4, 4))
    found = run(subject.reference, inputs, state)
    assert {name: found[name].shape for name in ("d W", "d state W", "state W")} == {
        "d W": inputs["W"].shape, "d state W": state["W"].shape, "state W": state["W"].shape,
    }  # fmt: skip
    one = subject.of_heads({"W": found["d W"], "state W": found["d state W"]}, [1]) | {"start": subject.state_of_heads(state, [1])["W"]}
    assert {name: tuple(x.shape) for name, x in one.items()} == {"W": (2, 5, 1), "state W": (2, 1, 4, 4), "start": (2, 1, 4, 4)}


@pytest.mark.slow
def test_gradients_are_steady(subject: MeasuredPackage, given: Forced) -> None:
    assert sensitivity(subject, *given) <= STEADY
    inputs, state = subject.inputs(SHAPE, STEEP, torch.float32), given.state
    assert sensitivity(subject, inputs, state, given.cu_seqlens) > STEADY


def test_tokens_that_fill_no_chunk_are_left_out(subject: MeasuredPackage) -> None:
    given = forced(subject, SHAPE._replace(tokens=SHAPE.tokens + 20), torch.float32, STEEP)
    assert len(given.state["W1"]) == len(given.cu_seqlens) - 1 == SHAPE.tokens // subject.tile
    assert given.inputs["q"].shape[1] == SHAPE.tokens == given.cu_seqlens[-1]


@pytest.mark.parametrize("dtype", MARGINS)
def test_no_residual_is_so_near_to_0_that_precisions_differ_in_its_sign(subject: MeasuredPackage, dtype: torch.dtype) -> None:
    given = forced(subject, SHAPE, dtype, STEEP)
    assert all(torch.equal(x.to(dtype).double(), x) for x in (given.inputs["q"], given.inputs["v"]))
    assert float(signed(subject, given).abs().min()) > 0.9 * MARGINS[dtype]


SIGNED: dict[str, dict[str, Any]] = {
    "sign_of_the_state": {  # a mirror map takes it, and here it has the shape of a chunk's residuals
        "memory": {"kind": "matrix"}, "attentional_bias": {"kind": "lp", "p": 1.0}, "retention": {"kind": "lq", "q": 1.5},
    },
    "sign_taken_twice": {
        "memory": {"kind": "vector"}, "attentional_bias": {"kind": "yaad_switch", "delta": 1.0, "clip": 1.0},
        "retention": {"kind": "sigmoid"},
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNED)
def test_values_are_moved_by_residuals_alone(name: str, tmp_path: Path) -> None:
    """Found by random specs."""
    pytest.importorskip("triton")
    chunk = {"size": 16, "gradient": "chunk_start", "read": "chunk_start"}
    fields = {"name": name, **SIGNED[name], "chunk": chunk, "gates": {"eta": {"per": "head"}, "alpha": {"per": "head"}}}
    subject = MeasuredPackage(compile_spec(parse_spec(json.dumps(fields), f"{name}.yaml")).write(tmp_path), "cpu")
    shape = Shape(1, 64, 2, 16, 16, 0)
    drawn, given = subject.inputs(shape, STEEP, torch.bfloat16), forced(subject, shape, torch.bfloat16, STEEP)
    assert 0 < float((given.inputs["v"] - drawn["v"]).abs().max()) < 1.2 * MARGINS[torch.bfloat16]


def test_only_values_of_small_residuals_change() -> None:
    v, residual = torch.zeros(4, dtype=torch.float64), torch.tensor([-0.5, -0.01, 0.03, 0.2], dtype=torch.float64)
    moved = apart(v, residual, torch.bfloat16)
    assert moved[0] == moved[3] == 0
    torch.testing.assert_close(residual[1:3] - moved[1:3], torch.tensor([-0.1, 0.1], dtype=torch.float64), rtol=0.01, atol=0.0)


@pytest.mark.slow
def test_chunks_start_where_the_one_before_ends(subject: MeasuredPackage, given: Forced) -> None:
    length = SHAPE.tokens
    start = {name: x[:1] for name, x in given.state.items()}
    whole = subject.reference(**given.inputs, initial_state=start)[0]
    apiece = subject.reference(**given.inputs, initial_state=given.state, cu_seqlens=given.cu_seqlens)[0]
    assert given.cu_seqlens.tolist() == list(range(0, length + 1, subject.tile))
    assert rms(apiece, whole) < 1e-5


def test_what_float32_loses_is_no_draw_of_luck(subject: MeasuredPackage) -> None:
    """Forms that only sum up in another order have the same error."""
    given = forced(subject, SHAPE, torch.float32, STEEP)
    expected = run(subject.reference, *given)
    single = {name: x.float() for name, x in given.inputs.items()}
    errors = [run(subject.reference, single, given.state, given.cu_seqlens, tile=tile) for tile in (1, 7)]
    own = own_error_of(subject, given.inputs, given.state, torch.float32, given.cu_seqlens)
    for name, x in expected.items():
        if x.is_floating_point():
            assert max(rms(each[name], x) for each in errors) < max(1e-6, 4 * rms(own[name], x))
