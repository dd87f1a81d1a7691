"""pydantic's verdict on a spec or a part of one, in our words: the place, the fault, the cause, and the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from miras_compiler.elements.base import Settings
from miras_compiler.elements.kinds import KINDS
from miras_compiler.errors import Fault, Path, near, nearest, short

REASONS: dict[Path, str] = {  # why a bound stands, where it is not plain to see
    ("chunk", "size"): "a chunk holds at least one token",
    ("attentional_bias", "p"): "below p = 1 the error is not convex, and its gradient is unbounded at 0",
    ("retention", "q"): "the squared q-norm has a mirror map for 1 < q <= 2 (the printed map for q > 1)",
    ("attentional_bias", "delta"): "a threshold is positive; name a gate to have it per token",
    ("attentional_bias", "window"): "a window holds the token itself; leave it out to have none",
    ("memory", "init", "std"): "a deep memory of zeros has no gradient, and a retention of norms keeps zero; say fan_in for 1/√rows",
    ("feature_map", "degree"): "degree 1 is the key itself and a constant, and above 8 the features are too many for any key",
}
WANTS = {
    "model_type": "a mapping of keys", "model_attributes_type": "a mapping of keys", "dict_type": "a mapping of keys",
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "string_type": "text", "string_pattern_mismatch": "the name of a gate",
    "tuple_type": "a list", "too_short": "a list that is not empty",
}  # fmt: skip
REQUIRED_GATES = "every rule reads the step size eta: `gates: {eta: {init: 0.02}}`"


def complaints(error: ValidationError, tree: Any, model: type[Settings]) -> list[Fault]:
    """Every complaint of pydantic about the tree of a `model`, under the dotted key at which a spec has such a part.

    A `loc` of pydantic also names the member of a union it was trying: those parts are dropped, and the complaints of all members of one
    union about one value become one fault.
    """
    said: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] != "default_factory_not_called":  # a consequence of another complaint
            said.setdefault(_path(detail, tree), []).append(detail)
    parents = {path[:depth] for path in said for depth in range(1, len(path))}  # of a union's value: a complaint about its inside says more
    mixed = [path for path, details in said.items() if path in parents and all(each["type"] != "refused" for each in details)]
    home: Path = tuple(model.key.split(".")) if model.key else ()
    faults = []
    for path, details in said.items():
        if path not in mixed:
            known = _known_keys(path[:-1], tree, model) if details[0]["type"] == "extra_forbidden" else []
            faults.append(Fault((*home, *path), *_words((*home, *path), details, known)))
    return faults


def _path(detail: ErrorDetails, tree: Any) -> Path:
    """The keys of `loc` that the tree has, and the last one where it is the key itself that is wrong."""
    loc = detail["loc"]
    if len(loc) > 1 and loc[0] in KINDS:
        loc = (loc[0], *loc[2:])
    path: list[str | int] = []
    for part in loc:
        if isinstance(tree, Mapping) and (part in tree or (part == loc[-1] and detail["type"] in ("missing", "extra_forbidden"))):
            tree = tree.get(part)
        elif isinstance(tree, list | tuple) and isinstance(part, int):
            tree = tree[part]
        else:
            continue
        path.append(part)
    return (*path, "kind") if detail["type"] == "union_tag_invalid" else tuple(path)


def _words(path: Path, details: list[ErrorDetails], known_keys: list[str]) -> tuple[str, str, str]:
    """The fault, its cause and its remedy; `known_keys` are those that could stand in place of an unknown one."""
    detail = details[0]
    several = len({each["type"] for each in details}) > 1
    key = str(path[-1]) if path else ""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "refused":
            return context["what"], context["why"], context["remedy"]
        case "missing":
            return f"'{key}' is missing", REQUIRED_GATES if path == ("gates",) else "", ""
        case "extra_forbidden":
            return f"unknown key '{short(key)}'", "", nearest(key, known_keys)
        case "union_tag_invalid":
            role, kind = str(path[0]), str(context["tag"])
            return f"unknown {role.replace('_', ' ')} '{short(kind)}'", "", nearest(kind, KINDS[role])
        case "union_tag_not_found":
            named = next((kind for kind in KINDS[key] if isinstance(detail["input"], dict) and kind in detail["input"]), None)
            remedy = f"write `{key}: {{kind: {named}}}`" if named else f"choose from {', '.join(KINDS[key])}"
            return f"{key.replace('_', ' ')} does not say its kind", "", remedy
        case "literal_error" if isinstance(detail["input"], str) and not several:
            choices = re.findall(r"'([^']*)'", context["expected"])
            what = "key" if detail["loc"][-1] == "[key]" else key
            return f"unknown {what} '{short(detail['input'])}'", "", nearest(detail["input"], choices)
    if detail["type"] == "model_attributes_type" and key in KINDS and isinstance(detail["input"], str):
        kind = near(detail["input"], KINDS[key]) or next(iter(KINDS[key]))
        return f"{key} should be a mapping of keys, not {_shown(detail['input'])}", "", f"write `{key}: {{kind: {kind}}}`"
    wants = " or ".join(dict.fromkeys(_want(each) for each in details))
    why = REASONS.get(path, "") if any(each["type"].startswith(("greater", "less")) for each in details) else ""
    return f"{short('.'.join(map(str, path))) or 'the spec'} should be {wants}, not {_shown(detail['input'])}", why, ""


def _want(detail: ErrorDetails) -> str:
    """The value that is expected; pydantic's "Input should be …" without its beginning where the table says nothing."""
    return WANTS.get(detail["type"]) or re.sub(r"^[A-Z][a-z]+ should (be |have |match )?", "", detail["msg"])


def _known_keys(path: Path, tree: Any, model: type[Settings]) -> list[str]:
    """The keys that the mapping at the path may have."""
    known: Any = model
    for part in path:
        tree = tree[part]
        if part in KINDS and not model.key and known is model:
            known = KINDS[str(part)][tree["kind"]]
        elif isinstance(known, type) and issubclass(known, BaseModel):
            known = known.model_fields[str(part)].annotation
        else:  # the gates by their names, the ledger by position
            known = _item(known)
    return [field.alias or name for name, field in _item_or_self(known).model_fields.items()]


def _item(container: Any) -> Any:
    arguments = get_args(get_args(container)[0] if get_origin(container) is Annotated else container)
    return next(argument for argument in arguments if isinstance(argument, type) and issubclass(argument, BaseModel))


def _item_or_self(model: Any) -> type[BaseModel]:
    return model if isinstance(model, type) else _item(model)


def _shown(value: object) -> str:
    """The value, shortened; containers by their kind."""
    if isinstance(value, Mapping):
        return "a mapping of keys"
    if isinstance(value, list | tuple):
        return "a list"
    return "nothing" if value is None else short(str(value).lower() if isinstance(value, bool) else repr(value))
