"""The text of layer.py: formatted as emitted, and without parts that the spec does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.compiled import without_tiles
from kit.layer_package import MODELS, handed_to_the_operator, layer_of, load_package, small_spec
from kit.paths import ROOT, SPECS
from miras_compiler.derive.rule import describe_rule
from miras_compiler.elements.optimizer import GradientDescent
from miras_compiler.emit.interface import build_interface
from miras_compiler.emit.layer import emit_layer
from miras_compiler.spec import Spec, load_spec, parse_spec
from miras_compiler.spec.exports import layer_class
from miras_compiler.spec.gates import Gate

PLAIN: dict[str, object] = {"conv": 0, "qk_norm": "none", "activation": "none", "output_norm": "none", "output_gate": False}
LAYERS: tuple[dict[str, object], ...] = (
    {}, PLAIN, {"conv": 1}, {"conv": 0}, PLAIN | {"output_norm": "layer"}, PLAIN | {"output_gate": True},
    {"value_dim": 6}, {"activation": "none"},
)  # fmt: skip
LONG = "a" * 50


def text_of(spec: Spec) -> str:
    rule = describe_rule(spec)
    return emit_layer(rule, build_interface(rule))


def formula_spec(gates: str, name: str = "x", heads: int = 2) -> Spec:
    """A matrix memory with a formula for its bias, so that it may have gates of any name; `gates` in YAML."""
    return parse_spec(
        f"name: {name}\nmemory: {{kind: matrix}}\nretention: {{kind: l2}}\n"
        f"attentional_bias: {{kind: formula, loss: '{LONG}*sum((u - v)**2)'}}\n"
        f"gates: {{{gates}}}\nlayer: {{heads: {heads}, head_dim: 4}}\n",
        "x.yaml",
    )


def all_texts() -> dict[str, str]:
    """layer.py for every setting, and for names and lists so long that lines must be broken."""
    values = ", ".join(f"0.{100 + n}" for n in range(40))
    specs = [small_spec(name, **layer) for name in ("linear_attention", "gated_delta_net") for layer in LAYERS]
    specs += [load_spec(SPECS / f"{name}.yaml") for name in MODELS]
    for source in ("constant", "learned", "input, low_rank: null", "input"):
        fields = f"{{source: {source}, init: [{values}]}}"
        specs.append(formula_spec(f"alpha: {fields}, eta: {fields}, {LONG}: {fields}", "n" * 50, 40))
    gates = [{"source": "constant"}, {"source": "learned", "per": "head"}, {"low_rank": None}, {}, None]
    specs += [small_spec("rwkv7", tie={"erase_write_key": {"of": "k", "gate": gate}, "v": {"of": "v", "gate": {}}}) for gate in gates]
    specs += [small_spec("hgrn2", tie={"k": {"of": "1 - alpha", "gate": gate}}) for gate in gates]
    terms = [{"of": "k", "lag": 1, "gate": {"root": True, "per": "head"}}, {"of": "q", "gate": gates[0]}, {"of": "q", "lag": 1}]
    specs += [small_spec("rwkv7", tie={"erase_write_key": {"of": "k", "plus": terms[:n]}}, value_heads=4, skip=True) for n in (1, 2, 3)]
    specs += [
        small_spec(
            "hgrn2",
            tie={"k": {"of": "1 - alpha", "lag": 1}, "q": {"of": "q", "minus": True, "plus": [{"of": "1 - alpha", "minus": True}]}},
            value_heads=8,
        )
    ]
    specs += [small_spec("hgrn2", tie={"k": {"of": "1 - alpha", "minus": True}, "v": {"of": "v", "lag": 1, "minus": True}})]
    specs += [small_spec("delta_product", tie={"v": {"of": "zero", "write": 2}}, value_heads=4)]
    return {f"layer_{number}.py": text_of(spec) for number, spec in enumerate(specs)}


def test_layers_are_clean_and_formatted_as_emitted(tmp_path: Path) -> None:
    for file, text in all_texts().items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    for arguments in (["check"], ["format", "--diff"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--config", str(ROOT / "pyproject.toml"), "--no-cache", str(tmp_path)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stdout + child.stderr


def test_a_layer_has_no_code_for_what_the_spec_leaves_out() -> None:
    text = text_of(small_spec("linear_attention", **PLAIN))
    for word in ("Convolution", "silu", "unit", "_norm(", "g_proj", "wide", "math", "initial_state(", "Low", "reset_parameters"):
        assert word not in text, word


@pytest.mark.parametrize(("name", "expected"), [("titans_lmm", "TitansLmmLayer"), ("yaad", "YaadLayer"), ("l3_delta", "L3DeltaLayer")])
def test_the_class_has_the_name_of_the_spec(name: str, expected: str) -> None:
    assert layer_class(small_spec("linear_attention").model_copy(update={"name": name})) == expected


SOURCES = ["constant", "learned", "input, low_rank: null", "input, low_rank: 3"]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_a_gate_of_every_source_starts_at_its_init_per_head(source: str, tmp_path: Path) -> None:
    inits = {"alpha": [0.5, 0.75], "eta": [0.1, 0.2], LONG: -0.5}
    spec = formula_spec(", ".join(f"{gate}: {{source: {source}, init: {init}}}" for gate, init in inits.items()))
    layer = layer_of(load_package(without_tiles(spec).write(tmp_path)), spec)
    x = torch.randn(2, 3, 12)
    assert torch.allclose(layer.alpha_gate(x).exp() if "constant" in source else layer.alpha_gate(x).sigmoid(), torch.tensor([0.5, 0.75]))
    eta = layer.eta_gate(x)
    assert torch.allclose(eta if "constant" in source else torch.nn.functional.softplus(eta), torch.tensor([0.1, 0.2]))
    assert torch.allclose(getattr(layer, f"{LONG}_gate")(x), torch.tensor(-0.5))
    o = layer(x)[0]
    assert o.shape == x.shape
    o.sum().backward()
    trained = {name for name, parameter in layer.named_parameters() if "_gate" in name and parameter.grad is not None}
    assert bool(trained) == ("constant" not in source)
    with pytest.raises(ValueError, match="heads: alpha has 2 initial values, got 3 heads"):
        type(layer)(heads=3)


@pytest.mark.slow
def test_a_constant_decay_of_zero_is_a_full_reset(tmp_path: Path) -> None:
    spec = formula_spec(f"alpha: {{source: constant, init: 0}}, eta: {{}}, {LONG}: {{}}")
    layer = layer_of(load_package(without_tiles(spec).write(tmp_path)), spec)
    assert torch.equal(layer.alpha_gate(torch.zeros(1, 1, 12)), torch.full((1, 1, 2), -torch.inf))


@pytest.mark.slow
@pytest.mark.parametrize(("per", "width"), [("key_channel", 4), ("value_channel", 6)])
@pytest.mark.parametrize("source", ["input", "learned", "constant"])
def test_a_gate_per_channel_has_a_number_per_channel(per: str, width: int, source: str, tmp_path: Path) -> None:
    """Emitted for a spec that is built in Python: whether an operator can use such a gate is for the checks to say."""
    base = small_spec("gated_delta_net", value_dim=6)
    gate = Gate.model_validate({"per": per, "source": source, "init": (0.5, 0.75)})
    spec = base.model_copy(update={"gates": base.gates | {"alpha": gate}})
    without_tiles(base).write(tmp_path)
    folder = tmp_path / "gated_delta_net"
    (folder / "layer.py").write_text(text_of(spec), encoding="utf-8")
    gates: Any = layer_of(load_package(folder), spec).alpha_gate(torch.randn(2, 3, 12))
    assert gates.shape == (2, 3, 2, width)
    alpha = gates.exp() if source == "constant" else gates.sigmoid()
    assert torch.allclose(alpha, torch.tensor([0.5, 0.75])[:, None].expand(2, width))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["input", "learned"])
def test_several_writes_per_token_have_rows_of_their_own(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Token t's writes are rows 3t, 3t + 1 and 3t + 2 of keys, values and step sizes."""
    base = small_spec("gated_delta_net", value_dim=6)
    eta = Gate.model_validate({"source": source, "init": (0.5, 0.75)})
    spec = base.model_copy(update={"optimizer": GradientDescent(steps=3), "gates": base.gates | {"eta": eta}})
    folder = without_tiles(base).write(tmp_path)
    (folder / "layer.py").write_text(text_of(spec), encoding="utf-8")
    layer, x = layer_of(load_package(folder), spec), torch.randn(2, 5, 12)
    given = handed_to_the_operator(monkeypatch, "chunk_gated_delta_net", layer, x)
    shapes = {name: tuple(given[name].shape) for name in ("q", "k", "v", "eta", "log_alpha")}
    assert shapes == {"q": (2, 5, 2, 4), "k": (2, 15, 2, 4), "v": (2, 15, 2, 6), "eta": (2, 15, 2), "log_alpha": (2, 5, 2)}
    assert torch.allclose(given["eta"], torch.tensor([0.5, 0.75]))
    changed = handed_to_the_operator(monkeypatch, "chunk_gated_delta_net", layer, torch.cat((x[:, :4], torch.randn(2, 1, 12)), 1))
    assert torch.equal(given["k"][:, :12], changed["k"][:, :12])
    assert not torch.isclose(given["k"][:, 12:], changed["k"][:, 12:]).all(-1).any()
