"""Steps of decoding that are recorded and replayed, with a recording that computes anew where a GPU would launch its kernels again."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.model_package import language_model, padded, tokens

pytestmark = pytest.mark.slow

pytest.importorskip("transformers")

NEW = 14


class Recomputed:
    """A recording that runs the step again, from the numbers in its tensors."""

    replays = 0

    def __init__(self, run: Callable[[], Tensor], device: torch.device) -> None:
        self.run = run
        self.result: Tensor

    def replay(self) -> None:
        type(self).replays += 1
        self.result = self.run()


def parts(model: Any) -> Any:
    """The module of the model's package that records steps."""
    return sys.modules[f"{type(model).__module__.rpartition('.')[0]}.runtime_decoding"]


@pytest.fixture(params=["gated_delta_net", "titans_lmm"])
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = language_model(request.param)
    monkeypatch.setattr(parts(made), "DecodingSteps", partial(parts(made).DecodingSteps, record=Recomputed))
    monkeypatch.setattr(parts(made), "is_recordable", lambda body: True)
    Recomputed.replays = 0
    yield made
    made.records_steps = True


def both(model: Any, ids: Tensor, **options: Any) -> tuple[Any, Any]:
    """Tokens generated with recorded steps, which must have run, and with launched ones."""
    found = []
    for recorded in (True, False):
        model.records_steps = recorded
        torch.manual_seed(3)
        found.append(model.generate(ids, **{"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, **copy.deepcopy(options)}))
    return found[0], found[1]


@pytest.mark.parametrize(
    "options", [{}, {"do_sample": True, "num_return_sequences": 2}, {"num_beams": 3}], ids=["greedy", "samples", "beams"]
)
def test_recorded_steps_generate_what_launched_ones_do(model: Any, options: dict[str, Any]) -> None:
    assert torch.equal(*both(model, tokens(2, 5), **options))
    assert Recomputed.replays == NEW - 1 - parts(model).LAUNCHED


def test_logits_of_recorded_steps_are_those_of_launched_ones(model: Any) -> None:
    recorded, launched = both(model, tokens(3, 7), return_dict_in_generate=True, output_logits=True)
    assert Recomputed.replays
    for found, expected in zip(recorded.logits, launched.logits, strict=True):
        assert torch.equal(found, expected)


def test_a_padded_batch_is_recorded_with_its_mask(model: Any) -> None:
    ids, mask = padded([tokens(3, seed=1), tokens(7, seed=2)], "left", 8)
    assert torch.equal(*both(model, ids, attention_mask=mask))
    assert Recomputed.replays


def test_a_cache_from_recorded_steps_goes_on_and_stays_as_it_is_when_copied(model: Any) -> None:
    first = model.generate(tokens(2, 5), max_new_tokens=NEW, do_sample=False, pad_token_id=0, return_dict_in_generate=True)
    name = "cache" if "cache" in first else "past_key_values"
    kept = copy.deepcopy(first[name])
    whole = torch.cat((first.sequences, tokens(2, 3, seed=4)), 1)
    recorded, launched = both(model, whole, **{name: first[name]})
    assert torch.equal(recorded, launched)
    model.records_steps = False
    assert torch.equal(model.generate(whole, max_new_tokens=NEW, do_sample=False, pad_token_id=0, **{name: kept}), launched)


@torch.no_grad()
def steps_of_two(model: Any, recorded: bool) -> list[Tensor]:
    """Logits of two texts whose steps take turns, each with a cache of its own."""
    found = []
    caches = [model(tokens(2, 5, seed=seed), use_cache=True) for seed in (1, 2)]
    name = "cache" if "cache" in caches[0] else "past_key_values"
    with parts(model).decoding(model.model, recorded):
        for number in range(2 * NEW):
            output = caches[number % 2]
            found.append(model(tokens(2, 1, seed=number), use_cache=True, **{name: output[name]}).logits)
    return found


def test_two_caches_that_take_turns_keep_their_own_states(model: Any) -> None:
    for found, expected in zip(steps_of_two(model, recorded=True), steps_of_two(model, recorded=False), strict=True):
        assert torch.equal(found, expected)
    assert Recomputed.replays == 2 * NEW - parts(model).LAUNCHED


def test_a_step_that_cannot_be_recorded_is_launched_with_a_warning(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Callable[[], Tensor], device: torch.device) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(parts(model), "DecodingSteps", partial(parts(model).DecodingSteps.func, record=refuse))
    with pytest.warns(UserWarning, match="cannot be recorded.*one by one: operation not permitted when stream is capturing$"):
        recorded, launched = both(model, tokens(2, 5))
    assert torch.equal(recorded, launched)


def test_steps_are_recorded_for_memories_on_a_gpu_that_no_hook_watches() -> None:
    model = language_model("gated_delta_net")
    assert not parts(model).is_recordable(model.model), "it is on the CPU"
    assert not any(map(parts(model).has_hooks, model.modules()))
    model.model.layers[1].mixer.register_forward_pre_hook(lambda *_: None)
    assert [parts(model).has_hooks(each) for each in (model.model.layers[0].mixer, model.model.layers[1].mixer)] == [False, True]
