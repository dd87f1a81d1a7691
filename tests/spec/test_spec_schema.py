"""The JSON Schema for editors takes the specs that the compiler takes, and marks the faults that it can see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.paths import SPEC_FILES
from kit.spec_texts import SPEC, edited
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import json_schema, normalized_yaml, parse_spec
from miras_compiler.spec.source import read_source


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def tree(text: str) -> dict[str, Any]:
    return read_source(text, "x.yaml").tree


@pytest.mark.parametrize("path", SPEC_FILES, ids=lambda path: path.stem)
def test_a_shipped_spec_and_its_normal_form_are_valid(path: Path, validator: Draft202012Validator) -> None:
    text = path.read_text()
    validator.validate(tree(text))
    validator.validate(tree(normalized_yaml(parse_spec(text, path.name))))


@pytest.mark.parametrize(
    "text",
    [
        edited(more="colour: red\n"),
        edited(("{kind: matrix}", "{kind: matrx}")),
        edited(("{kind: matrix}", "{}")),
        edited(("{kind: matrix}", "{kind: matrix, layers: 2}")),
        edited(("name: x\n", "")),
        edited(("name: x", "name: ../x")),
        edited(("eta: {}", "eta: {init: text}")),
        edited(("eta: {}", "eta: {per: token}")),
        edited(more="chunk: {size: 0}\n"),
        edited(more="ledger: [{equation: '1', status: good}]\n"),
    ],
)
def test_a_wrong_tree_is_not_valid(text: str, validator: Draft202012Validator) -> None:
    assert validator.is_valid(tree(SPEC))
    assert not validator.is_valid(tree(text))


def test_every_kind_is_in_the_schema_and_must_be_written() -> None:
    schema = json_schema()
    for role, kinds in KINDS.items():
        union = schema["properties"][role]["oneOf"]
        members = [schema["$defs"][member["$ref"].rpartition("/")[2]] for member in union]
        assert {member["properties"]["kind"]["const"] for member in members} == set(kinds)
        assert all("kind" in member["required"] for member in members)
