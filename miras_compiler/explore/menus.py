"""The menus of the page: every element with its parameters, the gates, the chunk and the layer, read off the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miras_compiler.elements.base import Element, Settings
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import Chunk, Gate, Layer, Spec
from miras_compiler.spec.gates import FREE_LETTER, GATE_LETTERS, GateLetter, range_of
from miras_compiler.spec.parameters import REQUIRED, fields, gates_of, parameters

PARTS: dict[str, type[Settings]] = {"chunk": Chunk, "layer": Layer}
FAMILIES = ("memory", "attentional_bias", "retention", "optimizer", "feature_map")


def menus() -> dict[str, Any]:
    """The choices of the menus: families with their kinds, parts with their fields, and the fields and letters of gates."""
    about = {name: field["description"] for name, field in fields(Spec).items()}
    return {
        "families": [
            {"key": family, "about": about[family], "kinds": [_kind(family, kind) for kind in KINDS[family]]} for family in FAMILIES
        ],
        "parts": [{"key": key, "about": about[key], "fields": _fields(part)} for key, part in PARTS.items()],
        "gates": {
            "about": about["gates"],
            "fields": _fields(Gate),
            "letters": {name: _letter(letter) for name, letter in GATE_LETTERS.items()},
            "other": _letter(FREE_LETTER),
        },
    }


def _kind(family: str, kind: str) -> dict[str, Any]:
    element: type[Element] = KINDS[family][kind]
    return {
        "kind": kind,
        "formula": element.formula,
        "words": " ".join((element.__doc__ or "").split()),
        "source": "" if element.citation == "–" else element.citation,
        "gates": gates_of(family, kind),
        "fields": _fields(element),
    }


def _letter(letter: GateLetter) -> dict[str, Any]:
    return {"meaning": letter.meaning, "range": range_of(Gate(init=letter.init), letter).domain, "init": letter.init}


def _fields(part: type[Settings]) -> list[dict[str, Any]]:
    """The fields that a line of a page can hold; fields with keys of their own are written in the text."""
    schemas = fields(part)
    return [
        {
            "name": row.name,
            "values": row.values,
            "about": row.description,
            "default": schemas[row.name].get("default"),
            "said": "" if row.default == REQUIRED else row.default,
            **_widget(schemas[row.name]),
        }
        for row in parameters(part)
        if not row.part
    ]


def _widget(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The control for a value: a list, a switch, a number in a range, a text, or a text in YAML."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if len(choices) > 1:
        return {"widget": "yaml"}
    (only,) = choices
    if "enum" in only:
        return {"widget": "choice", "choices": only["enum"], "none": only is not schema}
    match only.get("type"):
        case "boolean":
            return {"widget": "switch"}
        case "integer" | "number" as kind if only is schema:
            low, high = (only.get(bound, only.get(f"exclusive{bound.capitalize()}")) for bound in ("minimum", "maximum"))
            return {"widget": "number", "low": low, "high": high, "whole": kind == "integer"}
        case "string":
            return {"widget": "text"}
    return {"widget": "yaml"}
