"""Surprise of a text: the measures are those of the operator's calls, and end where the cache says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kit.model_package import language_model, tokens
from miras_compiler.errors import InputError
from miras_compiler.evaluate.surprise import MEASURES, LayerSurprise, TextSurprise, read_surprise
from miras_compiler.evaluate.surprise_page import surprise_page, surprise_plot

pytest.importorskip("transformers")
LENGTH = 11
MAC: dict[str, object] = {"wiring": "mac", "segment": 4, "persistent": 2, "attention": "{heads: 2}"}
MAG: dict[str, object] = {"wiring": "mag", "persistent": 2, "attention": "{heads: 2}"}


def surprise_of(model: Any, row: Tensor) -> TextSurprise:
    return read_surprise(model, row, tuple(map(str, row.tolist())))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, MAG, MAC], ids=["lmm", "mag", "mac"])
def test_state_and_momentum_end_where_the_cache_does(settings: dict[str, object]) -> None:
    model, row = language_model("titans_linear", None, **settings), tokens(1, LENGTH)
    found = surprise_of(model, row[0])
    with torch.no_grad():
        cache = next(value for value in model(row, use_cache=True).values() if hasattr(value, "layers"))
    for layer, kept in zip(found.layers, cache.layers, strict=True):
        state = kept.state if not settings else kept.state.memory if "segment" in settings else kept.state[0]
        assert {x.shape for x in layer.measures.values()} == {(LENGTH, 2)}
        for measure, entry in (("state", "W"), ("momentum", "W_momentum")):
            norm = state.recurrent_state[entry][0].flatten(1).norm(dim=1)
            torch.testing.assert_close(layer.measures[measure][-1].double(), norm, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_measures_are_those_of_the_rule_token_by_token() -> None:
    """titans_linear by hand: u = k W, ℓ = ‖u − v‖², g = 2 kᵀ ⊗ e, S = μ S − η g, W = α W + S."""
    model, row = language_model("titans_linear", {"num_hidden_layers": 1}), tokens(1, LENGTH)
    mixer = model.model.layers[0].mixer
    given: dict[str, Any] = {}
    module: Any = sys.modules[type(mixer).__module__]
    operator = module.chunk_titans_linear

    def spy(q: Tensor, k: Tensor, v: Tensor, **named: Any) -> Any:
        given.update(named, k=k, v=v)
        return operator(q, k, v, **named)

    module.chunk_titans_linear = spy
    try:
        with torch.no_grad():
            model(row, use_cache=False)
    finally:
        module.chunk_titans_linear = operator
    (layer,) = surprise_of(model, row[0]).layers
    k, v, heads = given["k"][0], given["v"][0], 2
    alpha, mu, eta = given["log_alpha"][0].exp(), given["log_mu"][0].exp(), given["eta"][0]
    W, S = torch.zeros(heads, 8, 8, dtype=torch.float64), torch.zeros(heads, 8, 8, dtype=torch.float64)
    for t in range(LENGTH):
        error = torch.einsum("hk,hkv->hv", k[t], W) - v[t]
        slope = 2 * torch.einsum("hk,hv->hkv", k[t], error)
        S = mu[t][:, None, None] * S - eta[t][:, None, None] * slope
        W = alpha[t][:, None, None] * W + S
        expected = {
            "error": error.norm(dim=1), "bias": error.square().sum(1), "surprise": slope.flatten(1).norm(dim=1), "step": eta[t],
            "momentum": S.flatten(1).norm(dim=1), "retention": alpha[t], "state": W.flatten(1).norm(dim=1),
        }  # fmt: skip
        assert set(expected) == set(MEASURES)
        for name, value in expected.items():
            assert layer.measures[name][t].tolist() == pytest.approx(value.tolist(), rel=1e-5, abs=1e-6), name


def test_a_model_reads_as_before_when_it_was_watched() -> None:
    model, row = language_model("titans_linear"), tokens(1, LENGTH)
    with torch.no_grad():
        before = model(row).logits
        surprise_of(model, row[0])
        assert torch.equal(model(row).logits, before)
    assert all("mix" not in vars(module) for module in model.modules())


def test_writes_of_one_token_are_taken_together() -> None:
    model, row = language_model("delta_product"), tokens(1, LENGTH)
    for layer in surprise_of(model, row[0]).layers:
        assert {x.shape for x in layer.measures.values()} == {(LENGTH, 2)}
        torch.testing.assert_close(layer.measures["bias"], layer.measures["error"].square() / 2, rtol=1e-5, atol=1e-7)


def test_a_model_of_attention_alone_has_no_surprise() -> None:
    with pytest.raises(InputError, match="no block has a memory"):
        surprise_of(language_model("gated_delta_net", pattern="[attention]"), tokens(1, 4)[0])


@pytest.fixture
def given() -> TextSurprise:
    random = torch.Generator().manual_seed(0)
    layers = tuple(LayerSurprise(2 * n, {name: torch.rand(4, 2, generator=random) for name in ("surprise", "state")}) for n in range(2))
    layers[0].measures["state"][3, 0] = torch.nan
    return TextSurprise(("a", "", "é", "</script>"), layers)


def test_a_page_holds_the_numbers_and_loads_nothing(given: TextSurprise) -> None:
    text = surprise_page("a <run>", given)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    tree = json.loads(data)
    assert tree["tokens"] == list(given.pieces)
    assert [layer["layer"] for layer in tree["layers"]] == [0, 2]
    assert tree["layers"][0]["state"][3][0] is None
    assert tree["layers"][1]["surprise"][2] == pytest.approx(given.layers[1].measures["surprise"][2].tolist(), abs=1e-4)
    assert "a &lt;run&gt;" in text
    assert not re.search(r"""(src|href)\s*=|url\(|@import|fetch\(""", text)


def test_a_plot_has_a_panel_for_each_measure(given: TextSurprise) -> None:
    assert surprise_plot("a run", given).startswith(b"\x89PNG")


CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium, or a Chrome in the PATH")
def test_a_browser_shows_the_text_in_colours(given: TextSurprise, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(surprise_page("a run", given), encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", (tmp_path / "page.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    text = shown[shown.index('<div id="text"') : shown.index("</div>", shown.index('<div id="text"'))]
    assert re.findall(r"<span[^>]*--share: (\d+)%[^>]*>", text) != []
    assert re.findall(r"<span[^>]*>([^<]*)</span>", text) == ["a", "·", "é", "&lt;/script&gt;"]
    assert "token 0" in shown
