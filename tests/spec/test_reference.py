"""docs/reference.md is made of the schema. With `--update-generated` it is rewritten instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kit.paths import ROOT
from miras_compiler.cli import main
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import json_schema

PAGE = ROOT / "docs" / "reference.md"


@pytest.mark.slow
def test_the_page_is_what_the_command_prints(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--markdown"]) == 0
    printed = capsys.readouterr().out
    if request.config.getoption("--update-generated"):
        PAGE.write_text(printed, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == printed, "docs/reference.md is not current; `miras schema --markdown` prints it"


def fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    schema = json_schema()
    for part in (schema, *schema["$defs"].values()):
        yield from ((part["title"], name, field) for name, field in part["properties"].items())


def test_every_field_of_the_schema_is_described() -> None:
    assert [(part, name) for part, name, field in fields() if not field.get("description")] == []


def test_every_key_and_every_kind_stands_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text or f"| [{name}](#" in text for _, name, _ in fields() if name != "kind")
    assert all(f"\n### {axis}: {kind}\n" in text for axis, kinds in KINDS.items() for kind in kinds)


def test_every_link_on_the_page_has_a_heading() -> None:
    text = PAGE.read_text(encoding="utf-8")
    headings = {line.removeprefix("## ").replace(".", "") for line in text.splitlines() if line.startswith("## ")}
    links = {link.partition(")")[0] for link in text.split("](#")[1:]}
    assert links <= headings
