"""Generated layers on sequences: causality, the cache, packed sequences, padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kit.bits import same_rows
from kit.layer_package import MODELS, distance, handed_to_the_operator, hidden, layer_of, package_of, small_layer, small_spec

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


@pytest.mark.slow
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
    """Twice: behind packed sequences the cache holds the same as behind each."""
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


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.int64, torch.float32, torch.bfloat16])
def test_a_mask_may_have_any_type_that_holds_0_and_1(dtype: torch.dtype) -> None:
    layer, x, mask = small_layer("gated_delta_net"), hidden(2, 7), torch.tensor(MASKS["left"])
    assert torch.equal(layer(x, mask.to(dtype))[0], layer(x, mask)[0])


@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm", "omega_net"])
def test_rows_without_tokens_have_outputs_of_0_and_keep_their_cache(name: str) -> None:
    """Left-padded prompts in segments, the first of which holds nothing of the second row; then a row that has ended; the third goes on."""
    layer, x = small_layer(name), hidden(3, 9)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1, 1]])
    outputs: list[Tensor] = []
    past: Any = None
    for first, end in ((0, 3), (3, 6), (6, 8), (8, 9)):
        before = past
        o, _, past = layer(x[:, first:end], attention_mask=mask[:, :end], past_key_values=past, use_cache=True)
        outputs.append(o)
        if first == 6:
            assert before is not None
            for state in ("recurrent_state", "conv_state"):
                for entry, value in getattr(past[0], state).items():
                    assert torch.equal(value[0], getattr(before[0], state)[entry][0]), entry
    o = torch.cat(outputs, 1)
    assert torch.equal(o[mask == 0], torch.zeros_like(o[mask == 0]))
    for row in range(3):
        assert distance(o[row, mask[row] == 1], layer(x[row, mask[row] == 1][None])[0][0]) < LIMIT


@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm", "gla"])
def test_a_row_does_not_depend_on_its_neighbours_nor_on_its_side_by_a_bit(name: str) -> None:
    """Alone it has other shapes, for which torch's matrix product sums in another order."""
    layer, x, own = small_layer(name), hidden(3, 7), [0, 0, 1, 1, 1, 1, 1]
    left = layer(x, attention_mask=torch.tensor([[1] * 7, own, [1] * 7]))[0][1, 2:]
    for other in (own, [0] * 7, [1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 0]):
        assert same_rows(layer(x, attention_mask=torch.tensor([other, own, other]))[0][1, 2:], left)
    turned = torch.cat((x[:, 2:], x[:, :2]), 1)
    assert same_rows(layer(turned, attention_mask=torch.tensor([[1] * 7, own[::-1], [1] * 7]))[0][1, :5], left)
    assert distance(layer(x[1:2, 2:])[0][0], left) < 1e-14


def test_a_batch_of_padding_alone_leaves_everything_as_it_was() -> None:
    layer, x = small_layer("titans_lmm"), hidden(2, 3)
    _, _, past = layer(x, use_cache=True)
    o, _, after = layer(x, attention_mask=torch.zeros(2, 3), past_key_values=past, use_cache=True)
    assert torch.equal(o, torch.zeros_like(o))
    for entry, value in after[0].recurrent_state.items():
        assert torch.equal(value, past[0].recurrent_state[entry]), entry
    for entry, value in after[0].conv_state.items():
        assert torch.equal(value, past[0].conv_state[entry]), entry


@pytest.mark.parametrize("name", ["gated_delta_net", "titans_lmm"])
def test_gradients_of_a_padded_row_are_those_of_the_row_alone(name: str) -> None:
    """Padding has a gradient of 0, whatever stands there, and parameters the sum over the rows."""
    layer, mask = small_layer(name), torch.tensor(MASKS["left"])
    x = torch.where(mask[..., None].bool(), hidden(2, 7), torch.inf).requires_grad_()
    layer.zero_grad()
    layer(x, attention_mask=mask)[0].square().sum().backward()
    together = {key: parameter.grad.clone() for key, parameter in layer.named_parameters()}
    layer.zero_grad()
    for row in range(2):
        own = x.detach()[row, mask[row] == 1][None].requires_grad_()
        layer(own)[0].square().sum().backward()
        assert own.grad is not None
        assert x.grad is not None
        assert distance(x.grad[row, mask[row] == 1], own.grad[0]) < LIMIT
        assert torch.equal(x.grad[row, mask[row] == 0], torch.zeros_like(x[row, mask[row] == 0]))
    for key, parameter in layer.named_parameters():
        assert distance(together[key], parameter.grad) < LIMIT, key


@pytest.mark.parametrize("name", ["gated_delta_net", "mamba2"])
def test_packed_tokens_behind_the_last_border_belong_to_no_sequence(name: str) -> None:
    layer, x = small_layer(name), hidden(1, 9)
    x[:, 6:] = torch.nan
    o, _, past = layer(x, cu_seqlens=torch.tensor([0, 0, 4, 6, 6], dtype=torch.int32), use_cache=True)
    alone, _, own = layer(x[:, :4], use_cache=True)
    assert distance(o[:, :4], alone) < LIMIT
    assert torch.equal(o[:, 6:], torch.zeros_like(o[:, 6:]))
    o.sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in layer.parameters())
    for entry, value in past[0].conv_state.items():
        assert len(value) == 4
        assert torch.equal(value[1], own[0].conv_state[entry][0])
        assert torch.equal(value[3], torch.zeros_like(value[3]))


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
        ({"attention_mask": torch.tensor([[1, 0]])}, r"attention_mask: expected 0 and 1 of shape \[2, 3\], .* got \[1, 2\]"),
        ({"attention_mask": torch.ones(2, 2)}, r"attention_mask: expected 0 and 1 of shape \[2, 3\], .* got \[2, 2\]"),
        ({"attention_mask": torch.ones(3, 3)}, r"attention_mask: expected 0 and 1 of shape \[2, 3\], .* got \[3, 3\]"),
        ({"attention_mask": torch.zeros(2, 1, 3, 3)}, "attention_mask: expected 0 and 1 of shape"),
        ({"attention_mask": torch.ones(2, 3).to_sparse()}, "attention_mask: expected a dense tensor, got one of layout torch.sparse_coo"),
        (
            {"attention_mask": torch.nested.nested_tensor([torch.ones(3)] * 2, layout=torch.jagged)},
            "attention_mask: expected a dense tensor, got one of layout nested",
        ),
        ({"attention_mask": [[1, 1, 1]] * 2}, "attention_mask: expected 0 and 1 of shape .* got list"),
        (
            {"attention_mask": torch.tensor([[0.0, 0.0, -1e4]] * 2)},
            "attention_mask: expected 1 at tokens and 0 at padding, got other values",
        ),
        ({"attention_mask": torch.tensor([[1, 1, 2]] * 2)}, "attention_mask: expected 1 at tokens and 0 at padding, got other values"),
        ({"attention_mask": torch.tensor([[1, 1, torch.nan]] * 2)}, "attention_mask: expected 1 at tokens and 0 at padding"),
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


@pytest.mark.parametrize("keyword", ["past_key_value", "position_ids", "output_attentions", "cu_seqlens_q"])
def test_a_keyword_that_a_layer_does_not_have_is_refused(keyword: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{keyword}'"):
        small_layer("yaad")(hidden(1, 2), **{keyword: None})
