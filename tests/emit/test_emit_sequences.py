"""Sequences without tokens, tokens of no sequence, views, and many short sequences in one row."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.forms import FORMS, NAMES, arguments, by_token, compiled, operator

BORDERS = torch.tensor([0, 4, 4, 7, 7, 7], dtype=torch.int32)
MODELS = [pytest.param(name, marks=[pytest.mark.slow] * (name == "titans_lmm")) for name in NAMES]


def packed(name: str, tokens: int = 9, sequences: int = 5) -> dict[str, Any]:
    """One row of tokens, and a state per sequence."""
    return arguments(name, batch=1, tokens=tokens) | {"initial_state": arguments(name, sequences, 2, 3)["initial_state"]}


def part(x: Tensor, first: int, end: int) -> Tensor:
    """The rows of some of 9 tokens."""
    rows = x.shape[1] // 9
    return x[:, first * rows : end * rows]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_a_call_without_tokens_hands_the_state_on(name: str, form: str) -> None:
    given = arguments(name)
    o, state = operator(name, form)(**by_token(given, lambda x: x[:, :0]), output_final_state=True)
    assert o.shape == given["q"][:, :0].shape
    torch.testing.assert_close(state, given["initial_state"], rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_packed_sequences_may_be_empty_and_end_before_the_row(name: str, form: str) -> None:
    """Outputs and gradients are 0 behind the last border, states of empty sequences as they were, the others as if alone."""
    given = packed(name)
    steps = given["k"].shape[1] // 9
    given["v"].requires_grad_()
    o, state = operator(name, form)(**given, cu_seqlens=BORDERS, output_final_state=True)
    (slope,) = torch.autograd.grad(o.square().sum(), given["v"])
    assert not o[:, 7:].any()
    assert not slope[:, 7 * steps :].any()
    for number, (first, end) in enumerate(pairwise(BORDERS.tolist())):
        own = {entry: x[number : number + 1] for entry, x in given["initial_state"].items()}
        alone = by_token(given, partial(part, first=first, end=end))
        expected = operator(name, form)(**alone | {"initial_state": own}, output_final_state=True)
        found = o[:, first:end], {entry: x[number : number + 1] for entry, x in state.items()}
        torch.testing.assert_close(found, expected, rtol=1e-4 if end > first else 0, atol=1e-5 if end > first else 0)


def spread(x: Tensor) -> Tensor:
    """Every other entry of a tensor that has more."""
    return torch.stack((x, torch.full_like(x, 7)), -1)[..., 0]


def negated(x: Tensor) -> Tensor:
    """A view that negates the numbers in memory, as the imaginary part of a conjugate does."""
    return torch._neg_view(-x) if x.is_floating_point() else x


@pytest.mark.parametrize("view", [spread, negated])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_views_of_arguments_are_read_as_they_are(name: str, form: str, view: Callable[[Tensor], Tensor]) -> None:
    given = packed(name)
    views = {key: {entry: view(x) for entry, x in x.items()} if isinstance(x, dict) else view(x) for key, x in given.items()}
    expected = operator(name, form)(**given, cu_seqlens=BORDERS, output_final_state=True)
    torch.testing.assert_close(operator(name, form)(**views, cu_seqlens=view(BORDERS), output_final_state=True), expected)


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [[1] * 1024, [500, *[1] * 524]], ids=["alike", "one long"])
def test_the_work_of_packed_sequences_follows_their_tokens(lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that tiles have, at most twice as many as there are tokens, in few calls."""
    module = sys.modules[f"{compiled('titans_lmm')}.chunked"]
    computed: list[int] = []
    chunk = module._FORM.function

    def counted(q: Tensor, *more: Tensor) -> Any:
        computed.append(q.shape[0] * q.shape[2])
        return chunk(q, *more)

    form = type(module._FORM)(module.CONTRACT, counted, module._FORM.takes, module._FORM.gives)
    monkeypatch.setattr(module, "_FORM", form)
    given = packed("titans_lmm", tokens=sum(lengths), sequences=len(lengths))
    borders = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    o, _ = operator("titans_lmm", "torch_chunk")(**given, cu_seqlens=borders)
    assert o.isfinite().all()
    assert sum(computed) <= 2 * sum(lengths)
    assert len(computed) <= 12
