"""Memories that begin anew at every n-th token: pieces of a sequence are sequences of their own, wherever a call cuts them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.layer_package import load_package
from kit.paths import ROOT, SPECS
from miras_compiler import SpecError, compile_spec
from miras_compiler.derive import derive_update_rule
from miras_compiler.spec import digest, load_spec, normalized_yaml

RESET, LENGTH = 6, 15
NAMES = ("titans_linear", "titans_lmm")  # exact; gradients of a chunk at its start, two weights
QUICK_FIRST = [pytest.param(name, marks=[pytest.mark.slow] * (name != "titans_linear")) for name in NAMES]
State = dict[str, Tensor]


@cache
def packages(name: str) -> tuple[Any, Any]:
    """A shipped rule with a reset, and without."""
    size = {"chunk.size": 3, "layer.heads": 2, "layer.head_dim": 4}
    folder = Path(tempfile.mkdtemp())
    with_reset = load_spec(SPECS / f"{name}.yaml", size | {"chunk.reset": RESET})
    return (
        load_package(compile_spec(with_reset).write(folder / "reset")),
        load_package(compile_spec(load_spec(SPECS / f"{name}.yaml", size)).write(folder / "plain")),
    )


def arguments(name: str, length: int = LENGTH, batch: int = 2) -> tuple[dict[str, Tensor], State]:
    """Tokens, gates and parameters by keyword, and the weights that a sequence begins with."""
    torch.manual_seed(0)
    rows = {each: torch.nn.functional.normalize(torch.randn(batch, length, 2, 4, dtype=torch.float64), dim=-1) for each in "qkv"}
    gates = {"log_alpha": -0.1, "log_mu": -0.5, "eta": 0.3}
    found = rows | {gate: value * torch.rand(batch, length, 2, dtype=torch.float64) for gate, value in gates.items()}
    if name == "titans_linear":
        return found, {"W": torch.randn(batch, 2, 4, 4, dtype=torch.float64)}
    found |= {"ln_weight": torch.ones(2, 4, dtype=torch.float64), "ln_bias": torch.zeros(2, 4, dtype=torch.float64)}
    sizes = {"W1": (4, 16), "W2": (16, 4)}
    return found, {each: 0.5 * torch.randn(batch, 2, *size, dtype=torch.float64) for each, size in sizes.items()}


def tokens(given: Mapping[str, Tensor], first: int, end: int) -> dict[str, Tensor]:
    return {name: x if name.startswith("ln_") else x[:, first:end] for name, x in given.items()}


def forms(package: Any, name: str) -> list[Any]:
    return [getattr(package.ops, f"{form}_{name}") for form in ("naive_recurrent", "chunk", "fused_recurrent")]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.thorough) if name == "titans_lmm" else name for name in NAMES])
def test_what_lies_between_two_resets_is_a_sequence_of_its_own(name: str) -> None:
    (given, start), (package, plain) = arguments(name), packages(name)
    (alone, *_), cuts = forms(plain, name), [0, 6, 12, LENGTH]
    expected = torch.cat([alone(**tokens(given, *cut), initial_state=start)[0] for cut in pairwise(cuts)], 1)
    for form in forms(package, name):
        o, _ = form(**given, initial_state=start)
        torch.testing.assert_close(o, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", QUICK_FIRST)
def test_a_state_that_is_passed_on_knows_where_it_returns_to(name: str) -> None:
    """Token by token, as in decoding; and behind a whole memory the state is the initial one, without momentum."""
    (given, start), (package, _) = arguments(name), packages(name)
    _, _, decode = forms(package, name)
    expected, behind = decode(**given, initial_state=start, output_final_state=True)
    state, outputs = start, []
    for t in range(LENGTH):
        o, state = decode(**tokens(given, t, t + 1), initial_state=state, output_final_state=True)
        outputs.append(o)
        if t + 1 == RESET:
            assert all(torch.equal(state[weight], start[weight]) for weight in start)
            assert not any(state[f"{weight}_momentum"].any() for weight in start)
            assert state["position"].tolist() == [0, 0]
    torch.testing.assert_close(torch.cat(outputs, 1), expected, rtol=1e-10, atol=1e-12)
    assert behind["position"].tolist() == [LENGTH % RESET] * 2
    for entry, x in behind.items():
        torch.testing.assert_close(state[entry], x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", QUICK_FIRST)
def test_packed_sequences_count_each_from_its_own_start(name: str) -> None:
    (given, start), (package, _) = arguments(name, batch=1), packages(name)
    borders = [0, 7, 7, 8, LENGTH]
    cu_seqlens = torch.tensor(borders, dtype=torch.int32)
    for form in forms(package, name):
        states = {each: x.expand(4, *x.shape[1:]) for each, x in start.items()}
        o, final = form(**given, initial_state=states, output_final_state=True, cu_seqlens=cu_seqlens)
        for number, (first, end) in enumerate(pairwise(borders)):
            alone, own = form(**tokens(given, first, end), initial_state=start, output_final_state=True)
            torch.testing.assert_close(o[:, first:end], alone, rtol=1e-10, atol=1e-12)
            for entry, x in own.items():
                torch.testing.assert_close(final[entry][number : number + 1], x, rtol=1e-10, atol=1e-12)


def test_gradients_reach_the_initial_state_from_every_piece() -> None:
    (given, start), (package, plain) = arguments("titans_linear"), packages("titans_linear")
    start = {"W": start["W"].requires_grad_()}
    whole, _ = forms(package, "titans_linear")[1](**given, initial_state=start)
    alone, cuts = forms(plain, "titans_linear")[0], [0, 6, 12, LENGTH]
    pieces = [alone(**tokens(given, *cut), initial_state=start)[0].square().sum() for cut in pairwise(cuts)]
    (found,), (expected,) = (torch.autograd.grad(total, [start["W"]]) for total in (whole.square().sum(), sum(pieces)))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_the_memory_is_traced_as_it_is_run() -> None:
    (given, start), (package, plain) = arguments("titans_linear"), packages("titans_linear")
    trace, alone = (each.recurrent.trace_titans_linear for each in (package, plain))
    found = trace(**given, initial_state=start)
    expected = alone(**tokens(given, RESET, 2 * RESET), initial_state=start)
    for measure, x in zip(expected, found, strict=True):
        torch.testing.assert_close(x[:, RESET : 2 * RESET], measure, rtol=1e-10, atol=1e-12)


def test_a_state_in_the_middle_of_a_memory_must_hold_what_it_returns_to() -> None:
    (given, start), (package, _) = arguments("titans_linear"), packages("titans_linear")
    with pytest.raises(ValueError, match=r"initial_state: expected W_initial of a state at position \[2, 2\]"):
        package.ops.chunk_titans_linear(**given, initial_state=start | {"position": torch.full((2,), 2)})
    with pytest.raises(ValueError, match=rf"initial_state.position: expected positions from 0 to {RESET - 1}"):
        package.ops.chunk_titans_linear(**given, initial_state=start | {"W_initial": start["W"], "position": torch.full((2,), RESET)})


KERNELS = """
import sys, torch
sys.path[:0] = {path!r}
from runtime.test_reset import arguments, forms, packages
given, start = ({{each: x.float() for each, x in group.items()}} for group in arguments("titans_linear", batch=1))
package, _ = packages("titans_linear")
cu_seqlens = torch.tensor([0, 8, 15], dtype=torch.int32)
start = {{each: x.expand(2, *x.shape[1:]) for each, x in start.items()}}
results = []
for backend in ("torch", "triton"):
    held = {{each: x.clone().requires_grad_() for each, x in start.items()}}
    o, final = package.ops.chunk_titans_linear(
        **given, initial_state=held, output_final_state=True, cu_seqlens=cu_seqlens, backend=backend
    )
    total = o.square().sum() + sum(x.square().sum() for x in final.values() if x.is_floating_point())
    results.append([o, *final.values(), *torch.autograd.grad(total, list(held.values()))])
for expected, found in zip(*results, strict=True):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
print("same")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only")
def test_kernels_begin_anew_as_the_forms_in_pytorch_do() -> None:
    """Tiles in Triton's interpreter, forward and backward."""
    code = KERNELS.format(path=[str(ROOT / "tests"), str(ROOT)])
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert found.stdout.endswith("same\n"), found.stderr


def test_a_reset_lies_on_a_border_of_chunks_and_not_within_what_mac_reads() -> None:
    with pytest.raises(SpecError, match=r"chunk.reset: 10 is not a multiple of chunk.size: 64.*for example `reset: 64`"):
        load_spec(SPECS / "titans_lmm.yaml", {"chunk.reset": 10})
    with pytest.raises(SpecError, match=r"the wiring mac with chunk\.reset"):
        load_spec(SPECS / "titans_lmm.yaml", {"chunk.reset": 64, "model.wiring": "mac"})


def test_a_rule_without_a_reset_is_written_as_before_there_was_one() -> None:
    plain = load_spec(SPECS / "titans_lmm.yaml")
    none, some = (load_spec(SPECS / "titans_lmm.yaml", {"chunk.reset": value}) for value in (None, 128))
    assert "reset:" not in normalized_yaml(plain).replace("preset:", "")
    assert digest(none) == digest(plain) != digest(some)
    assert "reset: 128}" in normalized_yaml(some)


def test_the_rule_says_when_it_begins_anew() -> None:
    rule = derive_update_rule(load_spec(SPECS / "titans_lmm.yaml", {"chunk.reset": 128}))
    assert "before the first token of a sequence, and of every 128 behind it, the state is the initial one, without momentum" in rule.text()
    assert [entry.name for entry in rule.state][-2:] == ["W1_initial", "W2_initial"]
