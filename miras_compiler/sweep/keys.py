"""The keys that a sweep may vary: those that a spec has in some of its kinds, the gates of its bases, and numbers of the training."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from miras_compiler.elements.kinds import KINDS
from miras_compiler.errors import Fault, nearest, short
from miras_compiler.spec import Spec
from miras_compiler.spec.gates import GATE_LETTERS
from miras_compiler.sweep.axes import as_text
from miras_compiler.train.settings import TrainSettings

TRAIN = "train"
TRAINED = frozenset(TrainSettings.__dataclass_fields__) - {"seed"}


def key_fault(key: str, bases: Sequence[Spec], vary: Mapping[str, Any]) -> Fault | None:
    """Why a key cannot vary, with the nearest one that can; None where it can."""
    first, *rest = key.split(".")
    if first == TRAIN:
        if len(rest) == 1 and rest[0] in TRAINED:
            return None
        return _unknown(key, [f"{TRAIN}.{name}" for name in TRAINED])
    if first == "name":
        return Fault(("vary", key), "the name changes nothing", "runs are named by their numbers", "leave it out")
    here: list[Any] = [Spec]
    for depth, part in enumerate([first, *rest]):
        before = ".".join([first, *rest][:depth])
        fields = [model.model_fields for model in here if isinstance(model, type) and issubclass(model, BaseModel)]
        names = {field.alias or name: field.annotation for each in fields for name, field in each.items()}
        items = [item for annotation in here for item in _items(annotation)]
        if part in names:
            here = [each for annotation in _annotations(part, fields) for each in _members(annotation)]
            if depth == 0 and part in KINDS:
                here = list(KINDS[part].values())
        elif items and (before != "gates" or part in _gates(bases, vary)):
            here = [each for item in items for each in _members(item)]
        else:
            known = _gates(bases, vary) if before == "gates" else names
            return _unknown(key, [f"{before}.{name}" if before else name for name in known if name != "name"])
    return None


def _unknown(key: str, known: Sequence[str]) -> Fault:
    remedy = nearest(key, known) if known else "its parent has no keys"
    return Fault(("vary", key), f"unknown key '{short(key)}'", "a spec has no such key", remedy)


def _gates(bases: Sequence[Spec], vary: Mapping[str, Any]) -> list[str]:
    """Gates that a point may have: those of the bases, the letters of the rules, and names that choices bring with them."""
    brought = [
        name for said in (vary.get("gates"),) if isinstance(said, list) for gates in said if isinstance(gates, dict) for name in gates
    ]
    named = [as_text(choice) for said in vary.values() if isinstance(said, list) for choice in said if isinstance(choice, dict)]
    declared = [name.removeprefix("gates.") for name in vary if name.startswith("gates.") and name.count(".") == 1]
    free = [name for name in declared if any(name in text for text in named)]
    return sorted({*brought, *free, *GATE_LETTERS, *(name for base in bases for name in base.gates)})


def _annotations(name: str, models: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The types of a field in all kinds that have it."""
    return [field.annotation for fields in models for key, field in fields.items() if (field.alias or key) == name]


def _members(annotation: Any) -> Iterator[Any]:
    """The types that a union holds."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _items(annotation: Any) -> list[Any]:
    """The type of the values of a mapping, or of the items of a list."""
    arguments = [each for each in get_args(annotation) if each is not Ellipsis]
    return arguments[-1:] if get_origin(annotation) in (dict, tuple, list) else []
