"""Folders of saved models: they load where neither this project nor Triton is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.model_package import classes, language_model, tokens

pytestmark = pytest.mark.slow

pytest.importorskip("transformers")
MAC: dict[str, object] = {"wiring": "mac", "segment": 4, "persistent": 2, "attention": "{heads: 2}"}

LOADS = """
import sys, warnings
warnings.simplefilter("error")
class Hidden:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("miras_compiler", "triton"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
for kind in sys.argv[1:]:
    folder, inner = kind + "/whole_" + kind, kind + "/inner_" + kind
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    ids = torch.load(folder + "/ids.pt")
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, torch.load(folder + "/logits.pt"), atol=1e-6), kind  # products of AMD differ in a bit
    assert torch.equal(model.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0), torch.load(folder + "/generated.pt")), kind
    assert type(model.config).__name__ == type(AutoConfig.from_pretrained(folder, trust_remote_code=True)).__name__ == kind + "Config"
    assert model.lm_head.weight is model.model.embed_tokens.weight, kind
    model.train()
    model(ids, labels=ids).loss.backward()
    model.save_pretrained(folder + "/again_" + kind)
    again = AutoModelForCausalLM.from_pretrained(folder + "/again_" + kind, trust_remote_code=True)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)), kind
    half = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.bfloat16).eval()
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}, kind
    assert torch.isfinite(half(ids).logits).all(), kind
    for place in (inner, folder):
        hidden = AutoModel.from_pretrained(place, trust_remote_code=True)
        assert type(hidden).__name__ == kind + "Model"
        assert torch.allclose(hidden(ids).last_hidden_state, model.eval().model(ids).last_hidden_state, atol=1e-6), kind
assert not [name for name in sys.modules if name.split(".")[0] in ("miras_compiler", "triton")]
"""


def test_a_saved_folder_loads_where_only_transformers_is(tmp_path: Path) -> None:
    """Two models, one after the other, in a process that knows no other package."""
    kinds = [saved(language_model("titans_lmm", None, **MAC).float(), tmp_path), saved(language_model("gated_delta_net").float(), tmp_path)]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": "", "PYTHONWARNINGS": ""}
    done = subprocess.run([sys.executable, "-c", LOADS, *kinds], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def saved(model: Any, place: Path) -> str:
    """Saves a model, its inner one and its results in a folder that is called like its kind, and returns that name."""
    kind, ids = type(model).__name__.removesuffix("ForCausalLM"), tokens(2, 6)
    folder = place / kind / f"whole_{kind}"  # transformers 5.6 keeps code by the names of folders alone
    model.save_pretrained(folder)
    model.model.save_pretrained(place / kind / f"inner_{kind}")
    with torch.no_grad():
        torch.save(model(ids).logits, folder / "logits.pt")
    torch.save(model.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0), folder / "generated.pt")
    torch.save(ids, folder / "ids.pt")
    return kind


def test_what_was_learned_is_what_is_loaded(tmp_path: Path) -> None:
    """Gates whose start is written head by head, too: loading draws nothing anew."""
    for name in ("retnet", "lightning"):
        model = language_model(name, {"num_heads": heads_of(name), "hidden_size": 16, "head_dim": 4, "num_hidden_layers": 1})
        model.save_pretrained(tmp_path / name)
        loaded = type(model).from_pretrained(tmp_path / name)
        assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True))


def heads_of(name: str) -> int:
    config, _, _ = classes(name)
    return int(config().num_heads)


def test_a_checkpoint_of_another_spec_is_refused(tmp_path: Path) -> None:
    language_model("gated_delta_net").save_pretrained(tmp_path)
    _, _, other = classes("linear_attention")
    with pytest.raises(ValueError, match="digest: the checkpoint is of another spec"):
        other.from_pretrained(tmp_path)


def test_folders_of_other_code_have_other_configurations() -> None:
    """transformers tells remote code apart by the text of the configuration's file."""
    texts: list[Any] = [
        Path(sys.modules[classes(name, **own)[0].__module__].__file__ or "").read_text()
        for name, own in (("titans_lmm", {}), ("titans_lmm", MAC))
    ]
    assert texts[0] != texts[1]


def test_a_saved_configuration_holds_what_was_set(tmp_path: Path) -> None:
    config, _, _ = classes("gated_delta_net")
    config(hidden_size=32, num_heads=4, eos_token_id=[1, 2]).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["hidden_size"], saved["num_heads"], saved["digest"]) == (32, 4, config().digest)
    assert config.from_pretrained(tmp_path).to_dict() == config(hidden_size=32, num_heads=4, eos_token_id=[1, 2]).to_dict() | {
        key: saved[key] for key in ("auto_map",) if key in saved
    }
