"""The pages of the site: every spec has one, links stay inside, mathematics needs no script."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from kit.paths import ROOT
from miras_compiler.spec.zoo import read_zoo


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """The names of the script, writing into a folder of the test."""
    found = runpy.run_path(str(ROOT / "docs" / "site" / "build.py"), run_name="site")
    found["target"].__globals__["PAGES"] = tmp_path
    (tmp_path / "specs").mkdir()
    return found


def test_a_spec_has_its_ledger_graph_rule_cost_results_and_code(site: dict[str, Any], tmp_path: Path) -> None:
    text = site["spec_page"]("titans_lmm", read_zoo()["titans_lmm"])
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["Spec and ledger", "Graph", "Rule", "Cost", "Results", "Code"]
    assert "$$" not in text
    assert "\\begin" not in text
    assert text.count("<math") > 20
    assert (tmp_path / "specs" / "titans_lmm.svg").is_file()


def test_links_lead_to_pages_or_to_copies(site: dict[str, Any], tmp_path: Path) -> None:
    written = "[a](../specs/yaad.yaml) [b](models.md#presets) [c](../LICENSE) [d](../README.md) [e](https://arxiv.org) [f](../generated)"
    found = site["linked"](written, ROOT / "docs", "compare.md")
    assert re.findall(r"\((.*?)\)", found) == [
        *("specs/yaad.md", "models.md#presets", "files/LICENSE", "index.md", "https://arxiv.org", "space.md"),
    ]
    assert (tmp_path / "files" / "LICENSE").is_file()


def test_the_space_has_a_row_for_every_spec(site: dict[str, Any]) -> None:
    found = site["space"](read_zoo())
    assert re.findall(r"\(specs/(\w+)\.md\)", found) == list(read_zoo())
