"""Refusals of the generated operators: every ValueError names the argument, the expectation and the value."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.compiled import compilation
from kit.paths import SPECS
from kit.spec_texts import edited, parsed
from miras_compiler.compiler import compile_spec
from miras_compiler.runtime.runtime_values import may_look
from miras_compiler.spec import load_spec
from miras_compiler.verify.inputs import InputShape, draw_inputs

OPERATORS = ("chunk", "fused_recurrent", "naive_recurrent")
Arguments = dict[str, Any]


@cache
def loaded(name: str) -> ModuleType:
    return compilation(name).load()


def arguments(name: str, batch: int = 2, tokens: int = 4) -> Arguments:
    """Everything that an operator takes, in float32, with a state in the middle of a chunk."""
    fields = load_spec(SPECS / f"{name}.yaml").model_dump(by_alias=True)
    given = draw_inputs(fields, InputShape(batch, tokens, 3, 5, 5), seed=0, eta=0.1, position=2).map(Tensor.float)
    return {"q": given.q, "k": given.k, "v": given.v, **given.gates, **given.parameters, "initial_state": dict(given.state)}


def refusals(name: str, **changes: Any) -> set[str]:
    """The message of each operator for these arguments; None leaves one out of the state, and the keys of the state follow a dot."""
    given = arguments(name, batch=changes.pop("batch", 2))
    for key, value in changes.items():
        part, _, entry = key.partition("__")
        target = given["initial_state"] if entry else given
        target[entry or part] = value(target[entry or part]) if callable(value) else value
        if entry and value is None:
            del target[entry]
    messages = set()
    for operator in OPERATORS:
        with pytest.raises(ValueError, match="expected") as caught:
            getattr(loaded(name), f"{operator}_{name}")(**given)
        messages.add(str(caught.value))
    return messages


def cut(x: Tensor) -> Tensor:
    return x[:, :-1]


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("gated_delta_net", {"k": cut}, "k: expected shape [B, T, H, K] = [2, 4, 3, 5], got [2, 3, 3, 5]"),
    ("gated_delta_net", {"v": lambda x: x[..., 0]}, "v: expected shape [B, T, H, V] = [2, 4, 3, 'V'], got [2, 4, 3]"),
    ("gated_delta_net", {"eta": lambda x: x[:, :, :1]}, "eta: expected shape [B, T, H] = [2, 4, 3], got [2, 4, 1]"),
    ("titans_lmm", {"ln_weight": lambda x: x.mT}, "ln_weight: expected shape [H, V] = [3, 5], got [5, 3]"),
    ("gated_delta_net", {"k": Tensor.int}, "k: expected floating-point numbers of 16, 32 or 64 bits, got torch.int32"),
    ("gated_delta_net", {"q": [[1.0]]}, "q: expected a tensor over [B, T, H, K], got list"),
    ("gated_delta_net", {"k": lambda x: x.to("meta")}, "k: expected a tensor on cpu, as q is, got one on meta"),
    ("gated_delta_net", {"log_alpha": lambda x: x + 1}, "log_alpha: expected logarithms of decays, at most 0, got "),
    ("gated_delta_net", {"cu_seqlens": [0, 4]}, "cu_seqlens: expected an int32 tensor of shape [N+1], got list"),
    ("gated_delta_net", {"cu_seqlens": torch.tensor([0, 4])}, "cu_seqlens: packed sequences lie in one row, expected B = 1, got 2"),
    ("titans_lmm", {"initial_state": None}, "initial_state: expected a dict with W1, W2, got None; a deep memory begins at weights"),
    ("moneta", {"initial_state": None}, "initial_state: expected a dict with W1, W2, got None"),
    ("gated_delta_net", {"initial_state": {}}, "initial_state: expected W, got none for W"),
    ("titans_lmm", {"initial_state__W2": None}, "initial_state: expected W1, W2, got none for W2"),
    ("gated_delta_net", {"initial_state": {"A": torch.zeros(1)}}, "initial_state: expected entries among W, got A"),
    (
        "gated_delta_net",
        {"initial_state__W": lambda x: x.mT[:1]},
        "initial_state.W: expected shape [B, H, K, V] = [2, 3, 5, 5], got [1, 3, 5, 5]",
    ),
    (
        "titans_lmm",
        {"initial_state__W2_momentum": lambda x: x.mT},
        "initial_state.W2_momentum: expected shape [B, H, N, V] = [2, 3, 20, 5]",
    ),
    ("titans_lmm", {"initial_state__position": lambda x: x + 62}, "initial_state.position: expected positions from 0 to 63, got [64, 65]"),
    ("titans_lmm", {"initial_state__position": lambda x: x - 9}, "initial_state.position: expected positions from 0 to 63, got [-7, -6]"),
    ("titans_lmm", {"initial_state__position": Tensor.double}, "initial_state.position: expected integers, got torch.float64"),
    (
        "omega_huber",
        {"initial_state__window_length": lambda x: x + 99},
        "initial_state.window_length: expected lengths from 0 to 2, got [1",
    ),
    ("omega_huber", {"initial_state__window_delta": lambda x: -1 - x}, "initial_state.window_delta: expected values of at least 0, got -"),
    (
        "preconditioned_gdn",
        {"initial_state__preconditioner": lambda x: -1 - x},
        "initial_state.preconditioner: expected values of at least",
    ),
    ("moneta", {"initial_state__log_beta": lambda x: 1 + x * 0}, "initial_state.log_beta: expected logarithms of decays, at most 0, got 1"),
    ("chi_square_memory", {"initial_state__W": lambda x: -x}, "initial_state.W: expected weights of at least 0, got -"),
    ("chi_square_memory", {"initial_state__W": lambda x: 2 * x}, "initial_state.W: expected weights that sum to 1 over [K], got 2 to 2"),
    ("chi_square_memory", {"initial_state__W": torch.zeros_like}, "initial_state.W: expected weights that sum to 1 over [K], got 0 to 0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes", "message"), REFUSALS, ids=lambda part: part if isinstance(part, str) else "")
def test_a_wrong_argument_is_refused_by_all_operators_in_the_same_words(name: str, changes: dict[str, Any], message: str) -> None:
    (told,) = refusals(name, **changes)
    assert told.startswith(message)


@pytest.mark.parametrize(
    ("offsets", "told"),
    [
        ([0, 3, 2, 4], "[0, 3, 2, 4]"),
        ([1, 4], "[1, 4]"),
        ([0, 5], "[0, 5]"),
    ],
)
def test_borders_of_packed_sequences_never_fall_from_0_to_the_last_token(offsets: list[int], told: str) -> None:
    (message,) = refusals("gated_delta_net", batch=1, cu_seqlens=torch.tensor(offsets, dtype=torch.int32))
    assert message == f"cu_seqlens: expected borders that rise from 0 to at most T = 4, got {told}"


@pytest.mark.parametrize("offsets", [torch.tensor([[0, 4]]), torch.tensor([0.0, 4.0]), torch.tensor([0]), torch.tensor([False, True])])
def test_offsets_are_one_row_of_integers(offsets: Tensor) -> None:
    (message,) = refusals("gated_delta_net", batch=1, cu_seqlens=offsets)
    assert message == f"cu_seqlens: expected int32 of shape [N+1], got {offsets.dtype} of shape {list(offsets.shape)}"


@pytest.mark.parametrize(
    ("dim", "told"),
    [(0, "q: expected at least one sequence, got B = 0"), (2, "head, got H = 0"), (3, "q: expected at least one channel, got K = 0")],
)
@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm"])
def test_a_call_without_sequences_heads_or_channels_is_refused(name: str, dim: int, told: str) -> None:
    given = arguments(name)
    for key, x in given.items():
        at = dim - 2 if key.startswith("ln_") else dim  # of [H, V]
        if isinstance(x, Tensor) and 0 <= at < x.dim():
            given[key] = x.narrow(at, 0, 0)
    for operator in OPERATORS:
        with pytest.raises(ValueError, match=told):
            getattr(loaded(name), f"{operator}_{name}")(**given)


def test_borders_lie_where_the_tokens_do() -> None:
    (message,) = refusals("gated_delta_net", batch=1, cu_seqlens=torch.tensor([0, 4], dtype=torch.int32, device="meta"))
    assert message == "cu_seqlens: expected a tensor on cpu, as q is, got one on meta"


def test_values_on_a_gpu_are_looked_at_in_debug_mode_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    there: Any = SimpleNamespace(device=torch.device("cuda"))
    assert may_look(torch.zeros(1))
    assert not may_look(there)
    monkeypatch.setenv("MIRAS_DEBUG", "1")
    assert may_look(there)


@pytest.mark.parametrize(
    ("gate", "value", "told"),
    [
        ("eta", math.nan, "eta: expected numbers, got NaN"),
        ("delta", math.nan, "delta: expected numbers, got NaN"),
        ("log_alpha", math.nan, "log_alpha: expected numbers, got NaN"),
        ("eta", math.inf, "eta: expected finite steps, got inf"),
        ("delta", math.inf, ""),
        ("log_alpha", -math.inf, ""),
    ],
)
def test_in_debug_mode_gates_are_numbers_and_steps_are_finite(monkeypatch: pytest.MonkeyPatch, gate: str, value: float, told: str) -> None:
    given = arguments("yaad")
    given[gate][0, 1] = value
    for operator in OPERATORS:
        run = getattr(loaded("yaad"), f"{operator}_yaad")
        monkeypatch.delenv("MIRAS_DEBUG", raising=False)
        o = run(**given)[0]
        monkeypatch.setenv("MIRAS_DEBUG", "1")
        if told:
            with pytest.raises(ValueError, match=told):
                run(**given)
        else:
            assert torch.equal(run(**given)[0], o)


def test_an_unknown_backend_and_an_empty_tile_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments("gated_delta_net")
    for operator in ("chunk", "fused_recurrent"):
        with pytest.raises(ValueError, match="backend: expected auto, torch or triton, got 'cuda'"):
            getattr(loaded("gated_delta_net"), f"{operator}_gated_delta_net")(**given, backend="cuda")
    monkeypatch.setenv("MIRAS_BACKEND", "cudnn")
    with pytest.raises(ValueError, match="backend: expected auto, torch or triton, got 'cudnn'"):
        loaded("gated_delta_net").chunk_gated_delta_net(**given)
    with pytest.raises(ValueError, match="tile: expected at least one token, got 0"):
        importlib.import_module(f"{loaded('gated_delta_net').__name__}.chunked").torch_chunk_gated_delta_net(**given, tile=0)


def test_a_matrix_memory_begins_at_zero_and_absent_entries_mean_a_fresh_chunk() -> None:
    operator: Callable[..., tuple[Tensor, dict[str, Tensor]]] = loaded("gated_delta_net").chunk_gated_delta_net
    given = arguments("gated_delta_net")
    zero = given | {"initial_state": {"W": torch.zeros_like(given["initial_state"]["W"])}}
    assert torch.equal(operator(**given | {"initial_state": None})[0], operator(**zero)[0])
    titans = arguments("titans_lmm")
    state = titans["initial_state"]
    weights = {name: state[name] for name in ("W1", "W2")}
    fresh = (
        weights | {f"{name}_momentum": torch.zeros_like(x) for name, x in weights.items()} | {f"{n}_start": x for n, x in weights.items()}
    )
    fresh["position"] = torch.zeros(2, dtype=torch.int64)
    found = [loaded("titans_lmm").chunk_titans_lmm(**titans | {"initial_state": each})[0] for each in (weights, fresh)]
    assert torch.equal(*found)


@pytest.mark.slow
@pytest.mark.parametrize("retention", ["{kind: weight_norm}", "{kind: lq_printed}"])
def test_a_retention_that_keeps_or_divides_by_norms_refuses_to_begin_at_zero(retention: str) -> None:
    spec = parsed(edited(("{kind: l2}\ngates", f"{retention}\ngates")))
    x = torch.ones(1, 2, 3, 4)
    given = {"q": x, "k": x, "v": x, "log_alpha": -x[..., 0], "eta": x[..., 0]}
    with pytest.raises(ValueError, match=f"^initial_state: expected a dict with W, got None; the retention {spec.retention.kind} cannot"):
        compile_spec(spec).load().chunk_x(**given)


def test_outputs_have_the_dtype_of_the_query_and_states_are_float32_or_float64() -> None:
    for dtype, work in ((torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)):
        given = {key: x.to(dtype) if isinstance(x, Tensor) else x for key, x in arguments("titans_lmm").items()}
        o, state = loaded("titans_lmm").chunk_titans_lmm(**given, output_final_state=True)
        assert o.dtype == dtype
        assert {x.dtype for name, x in state.items() if name != "position"} == {work}
        assert state["position"].dtype == torch.int64
