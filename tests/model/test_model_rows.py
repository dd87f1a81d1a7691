"""A row of a model does not depend on its neighbours, padding and packing: in float64 on a CPU not by a bit, where products do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kit.bits import same_rows
from kit.layer_package import distance
from kit.model_package import language_model, padded, tokens

pytestmark = pytest.mark.slow

pytest.importorskip("transformers")

MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "gated_delta_net": ("gated_delta_net", {}),
    "titans_lmm": ("titans_lmm", {}),
    "hybrid": ("gated_delta_net", {"pattern": "[memory, window, attention]", "attention": "{heads: 2, window: 5}"}),
    "mac": ("titans_lmm", {"wiring": "mac", "segment": 4, "persistent": 2, "attention": "{heads: 2}"}),
    "mag": ("gated_delta_net", {"wiring": "mag", "persistent": 3, "attention": "{heads: 2, window: 5}"}),
    "mal": ("gated_delta_net", {"wiring": "mal", "persistent": 3, "attention": "{heads: 2, window: 5}"}),
}
LENGTHS = (1, 6, 11, 4)


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    name, settings = MODELS[request.param]
    return language_model(name, {"num_hidden_layers": 3 if "pattern" in settings else 2}, **settings).requires_grad_(False)


@pytest.fixture(scope="module")
def rows() -> list[Tensor]:
    return [tokens(length, seed=length) for length in LENGTHS]


def alone(model: Any, rows: list[Tensor]) -> list[Tensor]:
    return [model(row[None]).logits[0] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("width", [11, 14])
def test_a_padded_row_has_the_bits_that_it_has_alone(model: Any, rows: list[Tensor], side: str, width: int) -> None:
    ids, mask = padded(rows, side, width)
    logits = model(ids, attention_mask=mask).logits
    for own, row, expected in zip(logits, mask.bool(), alone(model, rows), strict=True):
        assert same_rows(own[row], expected)
        assert not own[~row].any()


def test_padding_between_tokens_is_as_if_it_were_not_there(model: Any, rows: list[Tensor]) -> None:
    mask = torch.tensor([[1, 0, 1, 1, 0, 1, 1, 0, 1]])
    ids = torch.where(mask.bool(), torch.zeros_like(mask).masked_scatter(mask.bool(), rows[1]), 7)
    assert same_rows(model(ids, attention_mask=mask).logits[mask.bool()], alone(model, rows[1:2])[0])


def test_packed_sequences_have_the_bits_that_they_have_alone(model: Any, rows: list[Tensor]) -> None:
    borders = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)], dtype=torch.int32)
    logits = model(torch.cat(rows)[None], cu_seqlens=borders).logits[0]
    assert same_rows(logits, torch.cat(alone(model, rows)))


def test_a_batch_has_the_bits_of_its_rows(model: Any) -> None:
    ids = tokens(3, 9)
    assert same_rows(model(ids).logits, torch.cat([model(row[None]).logits for row in ids]))


def test_rows_go_on_from_a_cache_as_they_would_alone(model: Any, rows: list[Tensor]) -> None:
    """A second call with padding of its own, over segments' borders, then single tokens."""
    first, mask = padded(rows, "left", 11)
    second = [tokens(length, seed=20 + length) for length in (7, 2, 5, 1)]
    ids, own = padded(second, "right", 7)
    output = model(first, attention_mask=mask, use_cache=True)
    output = model(ids, attention_mask=own, past_key_values=output.past_key_values, use_cache=True)
    end = tokens(4, 1, seed=9)
    last = model(end, past_key_values=output.past_key_values).logits
    for number, row in enumerate(rows):
        whole = model(torch.cat((row, second[number], end[number]))[None]).logits[0]
        assert distance(output.logits[number][own[number].bool()], whole[len(row) : -1]) < 1e-12
        assert distance(last[number], whole[-1:]) < 1e-12


def test_gradients_of_a_row_do_not_depend_on_its_padding(model: Any, rows: list[Tensor]) -> None:
    model.requires_grad_(True)
    found = []
    for ids, mask in (padded(rows, "left", 11), padded(rows, "right", 13)):
        loss = model(ids, attention_mask=mask, labels=ids).loss
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)])
    borders = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)], dtype=torch.int32)
    packed = torch.cat(rows)[None]
    loss = model(packed, cu_seqlens=borders, labels=packed).loss
    found.append([loss, *torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)])
    model.requires_grad_(False)
    for other in found[1:]:
        assert distance(found[0][0], other[0]) < 1e-6, "transformers takes the loss in float32"
        assert [a is None for a in found[0]] == [b is None for b in other]
        for own, its in zip(found[0][1:], other[1:], strict=True):
            assert own is None or distance(own, its) < 1e-12 * float(1 + own.abs().max())


def test_a_token_changes_nothing_before_it(model: Any) -> None:
    ids = tokens(1, 13)
    changed = ids.clone()
    changed[:, 6] = 0
    assert torch.equal(model(ids).logits[:, :6], model(changed).logits[:, :6])
    assert not torch.equal(model(ids).logits[:, 6:], model(changed).logits[:, 6:])


def test_nan_at_padding_reaches_no_token(model: Any, rows: list[Tensor]) -> None:
    ids, mask = padded(rows, "left", 11)
    embeddings = model.get_input_embeddings()(ids).masked_fill(mask[..., None] == 0, torch.nan)
    assert torch.equal(model(inputs_embeds=embeddings, attention_mask=mask).logits, model(ids, attention_mask=mask).logits)
