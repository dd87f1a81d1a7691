"""Models of values: patches in, forecasts out, normalized by the instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.model_package import package, tiny_spec
from miras_compiler.derive.rule import describe_rule
from miras_compiler.emit.interface import build_interface
from miras_compiler.emit.model import count_model, sizes_of
from miras_compiler.errors import SpecError
from miras_compiler.spec.model import Values

pytest.importorskip("transformers")
VALUES: dict[str, object] = {"input": "{kind: values, channels: 3, patch: 4, horizon: 6}"}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_heads": 2, "head_dim": 8, "intermediate_size": 24}


def forecaster(**fields: Any) -> Any:
    """A tiny model of three channels in float64."""
    module = package("gated_delta_net", **VALUES)
    torch.manual_seed(0)
    return module.GatedDeltaNetForForecasting(module.GatedDeltaNetConfig(**SIZES | fields)).double().eval()


def series(rows: int, times: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, times, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_loss_is_the_mean_squared_error_and_reaches_every_parameter() -> None:
    model, values, labels = forecaster(), series(2, 16), series(2, 6, seed=1)
    output = model(values, labels=labels)
    assert output.forecasts.shape == (2, 6, 3)
    torch.testing.assert_close(output.loss, (output.forecasts - labels).square().mean(), rtol=1e-12, atol=0)
    output.loss.backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in model.parameters())


def test_a_forecast_is_in_the_units_of_its_own_row_and_channel() -> None:
    model, values = forecaster(), series(2, 16)
    scale, shift = torch.tensor([1e3, 2e3, 5e2], dtype=torch.float64), torch.tensor([-7.0, 1e5, 0.0], dtype=torch.float64)
    with torch.no_grad():
        large = 1e3 * values  # √(variance + 1e-5) is then the deviation
        expected = model(large).forecasts * scale + shift
        torch.testing.assert_close(model(large * scale + shift).forecasts, expected, rtol=1e-6, atol=1e-3)


def test_a_constant_series_has_a_forecast_beside_it() -> None:
    with torch.no_grad():
        forecasts = forecaster()(torch.full((1, 8, 3), 40.0, dtype=torch.float64)).forecasts
    assert float((forecasts - 40).abs().max()) < 0.02


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_is_forecast_as_if_it_were_alone(side: str) -> None:
    """Bit for bit, whatever stands at the padding and in the other rows."""
    model, short, long = forecaster(), series(1, 8), series(1, 24, seed=1)
    filler = torch.full((1, 16, 3), torch.nan, dtype=torch.float64)
    parts = (filler, short) if side == "left" else (short, filler)
    mask = torch.ones(2, 24)
    mask[0, slice(0, 16) if side == "left" else slice(8, None)] = 0
    with torch.no_grad():
        together = model(torch.cat((torch.cat(parts, 1), long)), attention_mask=mask).forecasts
        assert torch.equal(together[:1], model(short).forecasts)
        assert torch.equal(together[1:], model(long).forecasts)


def test_a_forecast_follows_the_model_of_the_memory() -> None:
    """The literal sum: statistics, patches, the model inside, the last hidden state, and back."""
    model, values = forecaster(), series(1, 12)
    mean, deviation = values.mean(1, keepdim=True), (values.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    with torch.no_grad():
        patches = model.embed_patches(((values - mean) / deviation).reshape(1, 3, 12))
        last = model.model(inputs_embeds=patches, use_cache=False).last_hidden_state[:, -1]
        expected = model.forecast(last).reshape(1, 6, 3) * deviation + mean
        torch.testing.assert_close(model(values).forecasts, expected, rtol=1e-10, atol=1e-12)


def test_a_configuration_may_ask_for_tuples() -> None:
    model, values = forecaster(), series(2, 8)
    forecasts = model(values).forecasts
    model.config.return_dict = False
    assert torch.equal(model(values)[0], forecasts)


def test_a_saved_folder_is_a_model_of_time_series(tmp_path: Path) -> None:
    from transformers import AutoModelForTimeSeriesPrediction

    model, values = forecaster(), series(2, 8).float()
    model.float().save_pretrained(tmp_path)
    loaded: Any = AutoModelForTimeSeriesPrediction.from_pretrained(tmp_path, trust_remote_code=True)
    half: Any = AutoModelForTimeSeriesPrediction.from_pretrained(tmp_path, trust_remote_code=True, dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(loaded(values).forecasts, model(values).forecasts)
        assert bool(half(values).forecasts.isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"preset": "170m"}, {"pattern": "[memory, attention]", "mlp": "{kind: none}"}])
def test_a_model_of_values_has_the_parameters_that_are_counted(settings: dict[str, object]) -> None:
    module, rule = package("gated_delta_net", **VALUES, **settings), describe_rule(tiny_spec("gated_delta_net", **VALUES, **settings))
    with torch.device("meta"):
        model = module.GatedDeltaNetForForecasting(module.GatedDeltaNetConfig())
    interface = build_interface(rule)
    counted = count_model(rule, interface, sizes_of(rule, interface))
    assert sum(parameter.numel() for parameter in model.parameters()) == counted
    assert "preset" not in settings or abs(counted / 170e6 - 1) < 0.03


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"values": series(2, 10)}, "multiple of 4 times, which make a patch, got 10; leave out the first 2"),
        ({"values": series(2, 0)}, "multiple of 4 times"),
        ({"values": series(2, 8)[..., :2]}, r"shape \[B, T, 3\], got torch.float64 of shape \[2, 8, 2\]"),
        ({"values": series(2, 8).long()}, "expected floating-point numbers"),
        ({"values": torch.full((1, 8, 3), torch.nan)}, "got NaN or infinity; a gap has to be filled"),
        ({"values": series(2, 8), "attention_mask": torch.ones(2, 4)}, r"attention_mask: expected shape \[2, 8\]"),
        ({"values": series(1, 8), "attention_mask": torch.tensor([[0.0] * 2 + [1.0] * 6])}, "whole patches of 4 times"),
        ({"values": series(1, 8), "attention_mask": torch.full((1, 8), 0.5)}, "expected 1 at values and 0 at padding"),
        ({"values": series(2, 8), "labels": series(2, 5)}, r"labels: expected shape \[2, 6, 3\]"),
        ({"values": series(2, 8), "labels": series(2, 6).tolist()}, r"labels: expected shape \[2, 6, 3\], got list"),
        ({"values": series(2, 8), "attention_mask": [[1] * 8] * 2}, r"attention_mask: expected shape \[2, 8\], got list"),
    ],
)
def test_values_without_a_meaning_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forecaster()(**given)


def test_arguments_that_the_model_does_not_know_are_refused() -> None:
    with pytest.raises(TypeError, match="past: an argument that the model does not know"):
        forecaster()(series(1, 8), past=series(1, 8))


def test_a_configuration_of_values_has_no_vocabulary() -> None:
    module = package("gated_delta_net", **VALUES)
    with pytest.raises(ValueError, match="vocab_size: expected None, because the input is values"):
        module.GatedDeltaNetConfig(vocab_size=7)
    with pytest.raises(ValueError, match="patch: expected an integer of at least 1"):
        module.GatedDeltaNetConfig(patch=0)
    with pytest.raises(ValueError, match="eos_token_id: expected a token below"):
        module.GatedDeltaNetConfig(eos_token_id=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**VALUES, "vocab_size": 8}, "a vocabulary of values"),
        ({**VALUES, "tie_embeddings": "true"}, "a tied embedding of values"),
        ({"vocab_size": "null"}, "tokens without a vocabulary"),
        ({"input": "{channels: 3}"}, "model.input"),
        ({"input": "{kind: tokens}"}, "model.input"),
        ({"input": "{kind: values, patch: 0}"}, "model.input.patch"),
    ],
)
def test_specs_of_values_without_a_meaning_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tiny_spec("gated_delta_net", **settings)


def test_the_input_of_a_spec_can_be_built_in_python() -> None:
    assert tiny_spec("gated_delta_net", **VALUES).model.input == Values(kind="values", channels=3, patch=4, horizon=6)
