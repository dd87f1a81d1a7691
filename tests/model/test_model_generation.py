"""`generate` of generated models, on whatever version of transformers is installed (`make test-transformers` tries several)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.layer_package import distance
from kit.model_package import language_model, padded, tokens

pytestmark = pytest.mark.slow

transformers = pytest.importorskip("transformers")

MODELS: tuple[tuple[str, dict[str, object]], ...] = (
    ("gated_delta_net", {}),
    ("titans_lmm", {}),
    ("gated_delta_net", {"pattern": "[memory, window, attention]", "attention": "{heads: 2, window: 5}"}),
    ("titans_lmm", {"wiring": "mac", "segment": 4, "persistent": 2, "attention": "{heads: 2}"}),
    ("gated_delta_net", {"wiring": "mag", "persistent": 3, "attention": "{heads: 2, window: 5}"}),
    ("gated_delta_net", {"wiring": "mal", "persistent": 3, "attention": "{heads: 2, window: 5}"}),
)
NAME = "cache" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 24) else "past_key_values"
"""What generate calls the cache."""


@pytest.fixture(params=MODELS, ids=lambda param: "-".join([param[0], *map(str, param[1].values())]), scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    name, settings = request.param
    return language_model(name, {"num_hidden_layers": 3 if "pattern" in settings else 2}, **settings)


def greedy(model: Any, ids: Tensor, new: int = 6, **options: Any) -> Any:
    """The prompt and the tokens behind it."""
    return model.generate(ids, max_new_tokens=new, do_sample=False, pad_token_id=0, **options)


@pytest.mark.parametrize("length", [1, 3, 11])
def test_greedy_is_one_beam_is_no_cache_is_step_by_step(model: Any, length: int) -> None:
    ids = tokens(2, length)
    expected = greedy(model, ids)
    assert torch.equal(greedy(model, ids, num_beams=1), expected)
    assert torch.equal(greedy(model, ids, use_cache=False), expected)
    cache, following, steps = None, ids, ids
    for _ in range(6):
        output = model(following, use_cache=True, **{NAME: cache})
        cache, following = output[NAME], output.logits[:, -1:].argmax(-1)
        steps = torch.cat((steps, following), 1)
    assert torch.equal(steps, expected)


def test_logits_of_steps_are_those_of_the_whole(model: Any) -> None:
    ids = tokens(2, 13)
    whole, cache, parts = model(ids).logits, None, []
    for piece in torch.split(ids, [6, 1, 1, 3, 1, 1], 1):
        output = model(piece, use_cache=True, **{NAME: cache})
        cache = output[NAME]
        parts.append(output.logits)
    assert distance(torch.cat(parts, 1), whole) < 1e-10


def test_beams_with_a_cache_are_beams_without_one(model: Any) -> None:
    options: dict[str, Any] = {"num_beams": 3, "num_return_sequences": 2}
    assert torch.equal(greedy(model, tokens(2, 5), **options), greedy(model, tokens(2, 5), use_cache=False, **options))


def test_a_padded_row_generates_what_it_generates_alone(model: Any) -> None:
    rows = [tokens(3, seed=1), tokens(7, seed=2), tokens(10, seed=3)]
    ids, mask = padded(rows, "left", 12)
    together = greedy(model, ids, attention_mask=mask)
    for row, own in zip(rows, together, strict=True):
        assert torch.equal(own[12:], greedy(model, row[None])[0, len(row) :])


def test_a_returned_cache_goes_on_as_the_whole_sequence_would(model: Any) -> None:
    rows = [tokens(3, seed=1), tokens(7, seed=2)]
    ids, mask = padded(rows, "left", 8)
    first = greedy(model, ids, attention_mask=mask, new=4, return_dict_in_generate=True)
    longer = torch.cat((first.sequences, tokens(2, 3, seed=4)), 1)
    mask = torch.cat((mask, torch.ones(2, longer.shape[1] - 8, dtype=torch.int64)), 1)
    whole = greedy(model, longer, attention_mask=mask)
    assert torch.equal(greedy(model, longer, attention_mask=mask, **{NAME: copy.deepcopy(first[NAME])}), whole)
    last = longer[:, first[NAME].get_seq_length() :]
    assert torch.equal(greedy(model, last, attention_mask=mask, **{NAME: first[NAME]})[:, last.shape[1] :], whole[:, longer.shape[1] :])


def test_sampling_repeats_with_its_seed(model: Any) -> None:
    options: dict[str, Any] = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 5, "pad_token_id": 0}
    samples = []
    for cached in (True, False):
        torch.manual_seed(5)
        samples.append(model.generate(tokens(2, 4), use_cache=cached, **options))
    assert samples[0].shape == (6, 9)
    assert torch.equal(*samples)


def test_embeddings_generate_what_their_tokens_generate(model: Any) -> None:
    ids = tokens(2, 5)
    embeddings = model.get_input_embeddings()(ids).detach()
    assert torch.equal(
        model.generate(inputs_embeds=embeddings, max_new_tokens=6, do_sample=False, pad_token_id=0), greedy(model, ids, new=6)[:, 5:]
    )


def test_assisted_decoding_and_cropping_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match=r"[Cc]ache|stateful"):
        greedy(model, tokens(1, 5), prompt_lookup_num_tokens=2)
    cache = model(tokens(1, 5), use_cache=True)[NAME]
    with pytest.raises(ValueError, match="a recurrent memory cannot forget its last tokens"):
        cache.crop(-1)
