"""Generated layers on sequences: causality, the cache, packed sequences, padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from layer_package import MODELS, distance, handed_to_the_operator, hidden, layer_of, package_of, small_layer, small_spec

LIMIT = 1e-9


@pytest.mark.parametrize("name", MODELS)
def test_a_layer_is_causal(name: str) -> None:
    layer, x = small_layer(name), hidden(2, 11)
    changed = torch.cat((x[:, :6], hidden(2, 5, seed=1)), 1)
    assert torch.equal(layer(x)[0][:, :6], layer(changed)[0][:, :6])


@pytest.mark.parametrize("name", MODELS)
def test_one_token_at_a_time_equals_the_whole_sequence(name: str) -> None:
    layer, x = small_layer(name), hidden(2, 11)
    outputs, past = [], None
    for t in range(11):
        o, _, past = layer(x[:, t : t + 1], past_key_values=past, use_cache=True)
        outputs.append(o)
    assert distance(torch.cat(outputs, 1), layer(x)[0]) < LIMIT


SETTINGS: tuple[dict[str, object], ...] = (
    {"conv": 0, "qk_norm": "none", "activation": "none", "output_norm": "none", "output_gate": False},
    {"conv": 1, "output_norm": "layer"},
    {"conv": 7, "value_dim": 6, "output_gate": False},
)


@pytest.mark.parametrize("settings", SETTINGS)
def test_other_settings_of_the_layer_keep_cut_and_packed_sequences(settings: dict[str, object]) -> None:
    spec = small_spec("gated_delta_net", **settings)
    layer, x = layer_of(package_of(spec), spec).double(), hidden(1, 9)
    whole, _, _ = layer(x)
    first, _, past = layer(x[:, :4], use_cache=True)
    middle, _, past = layer(x[:, 4:5], past_key_values=past, use_cache=True)
    last, _, _ = layer(x[:, 5:], past_key_values=past)
    assert distance(torch.cat((first, middle, last), 1), whole) < LIMIT
    packed, _, _ = layer(torch.cat((x[:, :4], x), 1), cu_seqlens=torch.tensor([0, 4, 13], dtype=torch.int32))
    assert distance(packed, torch.cat((first, whole), 1)) < LIMIT


def test_a_single_token_goes_to_the_recurrent_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "eta" in handed_to_the_operator(monkeypatch, "fused_recurrent_yaad", small_layer("yaad"), hidden(2, 1))
    assert not handed_to_the_operator(monkeypatch, "fused_recurrent_yaad", small_layer("yaad"), hidden(2, 2))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_flow_through_the_cache(name: str) -> None:
    layer, x = small_layer(name), hidden(2, 9).requires_grad_()
    (whole,) = torch.autograd.grad(layer(x)[0][:, 6:].square().sum(), x)
    _, _, past = layer(x[:, :6], use_cache=True)
    (cut,) = torch.autograd.grad(layer(x[:, 6:], past_key_values=past)[0].square().sum(), x)
    assert distance(whole, cut) < LIMIT


@pytest.mark.parametrize("name", MODELS)
def test_packed_sequences_equal_separate_ones(name: str) -> None:
    """Twice: what the cache holds behind packed sequences is what it holds behind each."""
    layer = small_layer(name)
    lengths = [(5, 1, 2), (1, 7, 2)]
    past, own = None, [None, None, None]
    for call, sizes in enumerate(lengths):
        x = [hidden(1, size, seed=10 * call + n) for n, size in enumerate(sizes)]
        borders = torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32)
        packed, _, past = layer(torch.cat(x, 1), past_key_values=past, use_cache=True, cu_seqlens=borders)
        separate = []
        for n in range(3):
            o, _, own[n] = layer(x[n], past_key_values=own[n], use_cache=True)
            separate.append(o)
        assert distance(packed, torch.cat(separate, 1)) < LIMIT


MASKS = {"left": [[0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1]], "right": [[1, 1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0, 0]]}


@pytest.mark.parametrize("side", MASKS)
@pytest.mark.parametrize("name", MODELS)
def test_padding_is_as_if_it_were_not_there(name: str, side: str) -> None:
    """Outputs at padding are 0, its content is not looked at, and decoding goes on behind each row's last token."""
    layer, x, mask = small_layer(name), hidden(2, 7), torch.tensor(MASKS[side])
    x = torch.where(mask[..., None].bool(), x, torch.nan)
    o, _, past = layer(x, attention_mask=mask, use_cache=True)
    following = hidden(2, 1, seed=1)
    longer = torch.cat((mask, torch.ones(2, 1, dtype=torch.int64)), 1)
    decoded, _, _ = layer(following, attention_mask=longer, past_key_values=past, use_cache=True)
    assert torch.equal(o[mask == 0], torch.zeros_like(o[mask == 0]))
    for row in range(2):
        alone = layer(torch.cat((x[row, mask[row] == 1], following[row]))[None])[0][0]
        assert distance(o[row, mask[row] == 1], alone[:-1]) < LIMIT
        assert distance(decoded[row, 0], alone[-1]) < LIMIT


def test_a_mask_of_ones_is_no_mask() -> None:
    layer, x = small_layer("yaad"), hidden(2, 7)
    assert torch.equal(layer(x, torch.ones(2, 7))[0], layer(x)[0])


def test_each_layer_has_its_own_place_in_the_cache_and_nothing_is_changed_in_place() -> None:
    first, second, x = small_layer("yaad"), small_layer("yaad", layer_idx=1), hidden(2, 5)
    _, _, one = first(x, use_cache=True)
    _, _, both = second(x, past_key_values=one, use_cache=True)
    assert set(one) == {0}
    assert set(both) == {0, 1}
    before = one[0].recurrent_state["W1"].clone()
    _, _, after = first(x, past_key_values=both)
    assert after is both
    assert torch.equal(one[0].recurrent_state["W1"], before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention_mask": torch.tensor([[1, 1, 1], [0, 0, 0]])}, "attention_mask: expected a token in every row, got rows of"),
        ({"attention_mask": torch.tensor([[1, 0]])}, r"attention_mask: expected 0 and 1 of shape \[2, 3\], got \[1, 2\]"),
        ({"attention_mask": torch.zeros(2, 1, 3, 3)}, "attention_mask: expected 0 and 1 of shape"),
        ({"attention_mask": torch.tensor([[1, 1, 0]] * 2), "cu_seqlens": torch.tensor([0, 3])}, "attention_mask: expected no padding"),
        ({"cu_seqlens": torch.tensor([0, 3])}, "cu_seqlens: packed sequences lie in one row, expected B = 1, got 2"),
    ],
)
def test_masks_and_borders_without_a_meaning_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_layer("yaad")(hidden(2, 3), **arguments)


def test_a_cache_needs_the_number_of_the_layer() -> None:
    with pytest.raises(ValueError, match="layer_idx: expected the layer's number"):
        small_layer("yaad", layer_idx=None)(hidden(1, 2), use_cache=True)
