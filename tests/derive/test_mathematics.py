"""docs/mathematics.md is the document that the code cites: every cited section exists, and its lists are those of the compiler."""

from __future__ import annotations

import re

import pytest

from kit.paths import ROOT
from miras_compiler.elements.kinds import KINDS

DOCUMENT = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^## (\d+)\. ", DOCUMENT, flags=re.MULTILINE))
FILES = [
    path
    for folder in ("miras_compiler", "tests", "specs", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".jinja", ".yaml", ".md")
]


def cited(text: str) -> list[str]:
    """The sections that a text cites: "§7", "§3–6"."""
    found: list[str] = []
    for first, last in re.findall(r"mathematics\.md(?:,)? §(\d+)(?:–(\d+))?", text):
        found += [str(number) for number in range(int(first), int(last or first) + 1)]
    return found


def test_every_section_that_is_cited_exists() -> None:
    citations = {path.relative_to(ROOT).as_posix(): cited(path.read_text(encoding="utf-8")) for path in FILES}
    assert sum(map(len, citations.values())) >= 15
    assert {path: missing for path, numbers in citations.items() if (missing := set(numbers) - SECTIONS)} == {}


def test_sections_are_numbered_from_one_and_links_between_them_lead_somewhere() -> None:
    assert sorted(map(int, SECTIONS)) == list(range(1, len(SECTIONS) + 1))
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.*)$", DOCUMENT, flags=re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", DOCUMENT)) <= headings


@pytest.mark.parametrize("role", KINDS)
def test_every_kind_of_an_element_is_in_the_document(role: str) -> None:
    assert {kind for kind in KINDS[role] if f"`{kind}`" not in DOCUMENT and kind != "identity"} == set()
