"""The documents are true: the picture of the layers, the folders that the architecture names, the files that are linked."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from kit.paths import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_the_picture_of_the_layers_is_that_of_the_import_contract() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_layers.py"))["draw"]()
    assert (ROOT / "docs" / "layers.svg").read_bytes() == drawn, "`make layers` draws it anew"


def test_every_stage_has_its_row_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z]+)/`", text))
    folders = {path.parent.name for path in (ROOT / "miras_compiler").glob("*/__init__.py")}
    assert folders <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_in_documents_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]
