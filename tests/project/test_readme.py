"""README's first example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kit.paths import ROOT, SPECS

pytestmark = pytest.mark.slow

EXAMPLE = re.compile(r"<!-- a layer in a model: .*? -->\n```python\n(.*?)```", re.DOTALL)

MODEL = re.compile(r"<!-- a rule in a language model: .*? -->\n```python\n(.*?)```", re.DOTALL)


def test_the_layer_in_a_model_runs_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = EXAMPLE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found[1], "README.md", "exec"), names)
    assert names["logits"].shape == (2, 100, 256)
    names["logits"].square().mean().backward()
    assert all(parameter.grad is not None for parameter in names["model"].parameters())


def test_the_rule_in_a_language_model_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    found = MODEL.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    (tmp_path / "specs").symlink_to(SPECS)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found[1], "README.md", "exec"), names)
    assert names["text"].shape == (2, 30)
    assert {"config.json", "model.safetensors", "modeling_gated_delta_net.py", "layer.py"} <= {
        path.name for path in Path("my_model").iterdir()
    }
