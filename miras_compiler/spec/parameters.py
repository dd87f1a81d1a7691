"""The keys of every part of a spec, read off its JSON Schema: its values, its default, and its meaning."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from miras_compiler.elements.base import Element, Settings
from miras_compiler.elements.kinds import KINDS

LARGEST = 1e12  # the bound of every number; not worth a word
REQUIRED = "required"
SAMPLES: dict[tuple[str, str], dict[str, object]] = {  # fields without a default, or with one at which the kind is another kind
    ("feature_map", "formula"): {"map": "max(x, 0)"},
    ("attentional_bias", "formula"): {"loss": "sum(log(cosh(u - v)))"},
    ("attentional_bias", "lp"): {"p": 3.0},
    ("retention", "bregman"): {"generator": "cosh(w)"},
    ("retention", "f_divergence"): {"generator": "t*log(t)"},
    ("retention", "lq"): {"q": 1.5},
}


class Parameter(NamedTuple):
    """A key: `values` and `default` in words of a spec; `part` is the class of keys that stand below it, "" for a plain value."""

    name: str
    values: str
    default: str
    description: str
    part: str = ""


def fields(model: type[Settings]) -> dict[str, dict[str, Any]]:
    """The keys of a part of a spec with their JSON Schemas."""
    return dict(_own_first(model))


def parameters(model: type[Settings]) -> tuple[Parameter, ...]:
    """The keys of a part of a spec, but for its kind."""
    schema = _schema(model)
    required = schema.get("required", ())
    return tuple(
        Parameter(name, values_of(field), _default(name, field, required), field["description"], _part(field))
        for name, field in _own_first(model)
        if name != "kind" or not issubclass(model, Element)
    )


def _own_first(model: type[Settings]) -> list[tuple[str, dict[str, Any]]]:
    """The fields of the schema, those of the class itself before those of its bases."""
    properties: dict[str, dict[str, Any]] = _schema(model)["properties"]
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    return sorted(properties.items(), key=lambda item: names[item[0]] not in inspect.get_annotations(model))


def example(family: str, kind: str) -> str:
    """A line of a spec that chooses the kind, with every parameter written out; parameters that are null by default are left out."""
    fields = {"kind": kind, **_example_fields(family, kind)}
    return f"{family}: {{{', '.join(f'{name}: {yaml_text(value)}' for name, value in fields.items())}}}"


def gates_of(family: str, kind: str) -> tuple[str, ...]:
    """The gates that the kind reads at the parameters of its example; eta, which every rule reads, is not among them."""
    return KINDS[family][kind].model_validate({"kind": kind, **SAMPLES.get((family, kind), {})}).gates()


def _example_fields(family: str, kind: str) -> dict[str, object]:
    properties = _own_first(KINDS[family][kind])
    defaults = {name: field["default"] for name, field in properties if field.get("default") is not None and name != "kind"}
    return defaults | SAMPLES.get((family, kind), {})


def yaml_text(value: object) -> str:
    """A value as a spec writes it, in one line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_text, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if text.isidentifier() or not isinstance(value, str) else f'"{text}"'


@cache
def _schema(model: type[Settings]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def values_of(field: Mapping[str, Any]) -> str:
    """The values that a field of a JSON Schema may have."""
    if "anyOf" in field:
        return " or ".join(map(values_of, field["anyOf"]))
    if "const" in field:
        return str(field["const"])
    if "enum" in field:
        return " | ".join(field["enum"])
    if "oneOf" in field:
        return "a kind with its parameters"
    if "$ref" in field:
        return "a mapping of keys"
    match field["type"]:
        case "array" if "prefixItems" in field:
            return f"[{', '.join(map(values_of, field['prefixItems']))}]"
        case "array":
            return "list of entries" if _part(field) else f"list of {values_of(field['items'])}"
        case "integer":
            return f"whole number{_bounds(field)}"
        case "number":
            return f"number{_bounds(field)}"
        case "string":
            return "name" if "pattern" in field else "text"
    return {"boolean": "true | false", "null": "null", "object": "a mapping of names"}[field["type"]]


def _bounds(field: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[bound]}" for bound, sign in signs.items() if bound in field and abs(field[bound]) < LARGEST]
    return f" {', '.join(bounds)}" if bounds else ""


def _default(name: str, field: Mapping[str, Any], required: tuple[str, ...]) -> str:
    if name in required:
        return REQUIRED
    if "default" not in field:  # made of other fields
        return "empty" if field.get("type") == "object" else "see meaning"
    value = field["default"]
    if _part(field) and value is not None:
        return "its defaults"
    return f"{{kind: {value['kind']}}}" if isinstance(value, dict) else '""' if value == "" else yaml_text(value)


def _part(field: Mapping[str, Any]) -> str:
    """The name of the class of keys below a field."""
    for inside in (field, field.get("items"), field.get("additionalProperties"), *field.get("anyOf", ())):
        if isinstance(inside, Mapping) and "$ref" in inside:
            return str(inside["$ref"]).rpartition("/")[2]
    return ""
