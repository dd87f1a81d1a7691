"""The fields of several specs, beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec import Gate, Spec
from miras_compiler.spec.parameters import fields

PROSE = ("name", "paper", "ledger")  # names and sources of a spec, which do not change its function
ABSENT = "–"


class Field(NamedTuple):
    """A dotted key with its value in every spec, None where a spec has no such key."""

    key: str
    values: tuple[Any, ...]

    @property
    def family(self) -> str:
        return self.key.split(".")[0]

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)


def fields_of(specs: Sequence[Spec]) -> list[Field]:
    """Every field of the specs, by family."""
    flat = [_flat(spec.model_dump(mode="json", by_alias=True, exclude=set(PROSE))) for spec in specs]
    keys = dict.fromkeys(key for each in flat for key in each)
    order = list(Spec.model_fields)
    return [Field(key, tuple(each.get(key) for each in flat)) for key in sorted(keys, key=lambda key: order.index(key.split(".")[0]))]


def differing_fields(specs: Sequence[Spec]) -> list[Field]:
    """The fields that the specs do not agree in, but for the defaults of kinds and gates that only some of them have."""
    return [field for field in fields_of(specs) if field.differs and not _is_default(field, specs)]


def value_text(value: Any) -> str:
    """A value as a spec writes it."""
    if value is None:
        return ABSENT
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _is_default(field: Field, specs: Sequence[Spec]) -> bool:
    """True if a field belongs to a kind or a gate that only some of the specs have, and is at its default: it says no more than that."""
    part, *path = field.key.split(".")
    if None not in field.values:
        return False
    given = [(spec, value) for spec, value in zip(specs, field.values, strict=True) if value is not None]
    if part == "gates":
        alone = not all(path[0] in spec.gates for spec in specs)
        return alone and path[1] != "init" and all(value == Gate.model_fields[path[1]].default for _, value in given)
    if part not in KINDS or len({getattr(spec, part).kind for spec in specs}) == 1:
        return False
    name = ".".join(path)
    return all((name, value) in _defaults(part, getattr(spec, part).kind).items() for spec, value in given)


def _defaults(part: str, kind: str) -> dict[str, Any]:
    return _flat({key: schema.get("default") for key, schema in fields(KINDS[part][kind]).items()})


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The values under dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat
