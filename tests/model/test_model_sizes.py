"""Sizes of models: presets meet their parameters for every spec, and the count from a spec is torch's count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kit.compiled import without_tiles
from kit.layer_package import load_package
from kit.model_package import classes, tiny_spec
from kit.paths import GENERATED, SPEC_FILES, SPECS
from miras_compiler.derive.rule import describe_rule
from miras_compiler.emit.interface import build_interface
from miras_compiler.emit.model import count_layer, count_model, sizes_of
from miras_compiler.errors import SpecError
from miras_compiler.spec import load_spec
from miras_compiler.spec.exports import layer_class
from miras_compiler.spec.model import PRESETS


@pytest.mark.slow
@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_a_layer_has_the_parameters_that_are_counted_and_presets_are_met(path: Path) -> None:
    package = load_package(GENERATED / path.stem)
    for preset, wanted in PRESETS.items():
        spec = load_spec(path, {"model.preset": preset})
        rule = describe_rule(spec)
        interface = build_interface(rule)
        sizes = sizes_of(rule, interface)
        with torch.device("meta"):
            layer = getattr(package, layer_class(spec))(
                sizes.hidden_size, heads=sizes.heads, head_dim=sizes.head_dim, value_dim=sizes.value_dim
            )
        assert sum(parameter.numel() for parameter in layer.parameters()) == count_layer(rule, interface, sizes)
        assert abs(count_model(rule, interface, sizes) / wanted.parameters - 1) < 0.03
        assert (sizes.hidden_size, sizes.layers) == (wanted.hidden_size, wanted.layers)
        assert sizes.intermediate_size >= sizes.hidden_size // 8


SETTINGS: tuple[tuple[str, dict[str, object]], ...] = (
    ("gated_delta_net", {"preset": "340m"}),
    ("gated_delta_net", {"preset": "170m", "pattern": "[memory, window, attention]", "tie_embeddings": "false"}),
    ("titans_lmm", {"preset": "170m", "wiring": "mac"}),
    ("gated_delta_net", {"preset": "170m", "wiring": "mag"}),
    ("gated_delta_net", {"preset": "170m", "wiring": "mal"}),
    ("gated_delta_net", {"mlp": "{kind: none}", "vocab_size": 97, "hidden_size": 96, "layers": 3}),
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_a_model_on_the_meta_device_has_the_parameters_that_are_counted(name: str, settings: dict[str, object]) -> None:
    pytest.importorskip("transformers")
    rule = describe_rule(tiny_spec(name, **settings))
    config, _, kind = classes(name, **settings)
    with torch.device("meta"):
        model: Any = kind(config())
    interface = build_interface(rule)
    assert sum(parameter.numel() for parameter in model.parameters()) == count_model(rule, interface, sizes_of(rule, interface))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert {buffer.device.type for buffer in model.buffers()} <= {"meta"}


def test_a_model_has_as_many_heads_of_values_as_its_configuration_says(tmp_path: Path) -> None:
    """As many to a head of keys as the spec has, or the number that is given; its cache goes on where the prompt ends."""
    pytest.importorskip("transformers")
    small = {"layer.head_dim": 8, "layer.heads": 2, "layer.value_heads": 4, "layer.skip": True, "layer.tie": {"k": {"of": "k", "lag": 1}}}
    spec = load_spec(SPECS / "gated_delta_net.yaml", {**small, "model.hidden_size": 16, "model.layers": 2, "model.vocab_size": 53})
    rule, package = describe_rule(spec), load_package(without_tiles(spec).write(tmp_path))
    interface = build_interface(rule)
    sizes = sizes_of(rule, interface)
    model: Any = package.GatedDeltaNetForCausalLM(package.GatedDeltaNetConfig()).double().eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == count_model(rule, interface, sizes)
    assert (sizes.heads, sizes.value_heads, len(model.state_dict()["model.layers.0.mixer.D"])) == (2, 4, 4)
    prompt = torch.arange(1, 8)[None]
    first = model(prompt[:, :5], use_cache=True)
    rest = model(prompt[:, 5:], cache=first.past_key_values if hasattr(first, "past_key_values") else first.cache)
    torch.testing.assert_close(torch.cat((first.logits, rest.logits), 1), model(prompt).logits, rtol=0, atol=1e-12)
    wider: Any = package.GatedDeltaNetForCausalLM(package.GatedDeltaNetConfig(num_heads=1, num_value_heads=3))
    assert len(wider.state_dict()["model.layers.0.mixer.D"]) == 3
    with pytest.raises(ValueError, match="num_value_heads: expected a multiple of num_heads = 2, or None, got 3"):
        package.GatedDeltaNetConfig(num_value_heads=3)
    with pytest.raises(ValueError, match="num_value_heads: expected an integer of at least 1, got '4'"):
        package.GatedDeltaNetConfig(num_value_heads="4")
    with pytest.raises(ValueError, match="value_heads: expected a multiple of heads = 2, got 5"):
        package.GatedDeltaNetLayer(16, heads=2, value_heads=5)
    preset = sizes_of(describe_rule(spec.model_copy(update={"model": {"preset": "340m"}})), interface)
    assert preset.value_heads == 2 * preset.heads == 2 * preset.hidden_size // 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wiring": "mac", "pattern": "[attention]"}, "the wiring mac without a memory"),
        ({"segment": 4}, "a segment without segments"),
        ({"persistent": 4}, "persistent tokens without attention"),
        ({"attention": "{window: 4}"}, "an attention that nothing uses"),
        ({"pattern": "[attention]", "attention": "{heads: 3}"}, "a hidden_size of 512 in 3 heads of attention"),
        ({"mlp": "{kind: none, ratio: 2}"}, "the ratio of no MLP"),
        ({"mlp": "{kind: none}", "preset": "340m"}, "a preset without an MLP"),
        ({"hidden_size": 24}, "a hidden_size of 24 in 16 heads"),
        ({"preset": "350m"}, "model.preset"),
        ({"width": 512}, "unknown key 'width'"),
    ],
)
def test_models_without_a_meaning_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tiny_spec("gated_delta_net", **settings)


def test_a_query_that_is_tied_has_no_history_of_its_own() -> None:
    with pytest.raises(SpecError, match="the wiring mac with a tied query"):
        load_spec(SPECS / "gated_delta_net.yaml", {"layer.tie": {"q": {"of": "k"}}, "model.wiring": "mac"})
