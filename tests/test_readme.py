"""README's first example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"<!-- a layer in a model: .*? -->\n```python\n(.*?)```", re.DOTALL)


def test_the_layer_in_a_model_runs_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = EXAMPLE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found[1], "README.md", "exec"), names)
    assert names["logits"].shape == (2, 100, 256)
    names["logits"].square().mean().backward()
    assert all(parameter.grad is not None for parameter in names["model"].parameters())
