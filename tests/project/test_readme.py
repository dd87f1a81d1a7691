"""README's examples run as they stand, and its rule and its package are those that the compiler writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kit.paths import ROOT, SPECS
from miras_compiler import compile_spec, load_spec

pytestmark = pytest.mark.slow

EXAMPLE = re.compile(r"<!-- a layer in a model: .*? -->\n```python\n(.*?)```", re.DOTALL)

MODEL = re.compile(r"<!-- a rule in a language model: .*? -->\n```python\n(.*?)```", re.DOTALL)


EQUATIONS = re.compile(r"<!-- equations: .*? -->\n```\n(.*?)```", re.DOTALL)
LINES = re.compile(r"<!-- lines of the file: .*? -->\n```python\n(.*?)```", re.DOTALL)


def shown(pattern: re.Pattern[str]) -> list[str]:
    found = pattern.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    return [line for line in found[1].splitlines() if line.strip()]


def test_the_equations_are_those_of_the_rule() -> None:
    explained = compile_spec(load_spec(SPECS / "titans_lmm.yaml")).explain()
    printed = {line.strip() for line in explained.splitlines()}
    columns = [part.strip() for line in shown(EQUATIONS) if " = " in line for part in re.split(r" {4,}", line.strip()) if " = " in part]
    assert len(columns) > 15
    assert set(columns) <= printed
    reason = " ".join(line.strip() for line in shown(EQUATIONS)[-2:])
    assert reason in explained.replace(str(SPECS.parent) + "/", "")


def test_the_lines_of_the_package_are_in_its_file() -> None:
    (written,) = (file.text for file in compile_spec(load_spec(SPECS / "gated_delta_net.yaml")).files if file.path == "chunked.py")
    assert "\n".join(shown(LINES)) in "\n".join(line for line in written.splitlines() if line.strip())


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
