"""`--set key=value`: a spec with some keys set from outside."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from miras_compiler.errors import Path, Problem, SpecError, short
from miras_compiler.spec.source import Mark, Source, dotted, read_value

OPTION = "--set"


def parse_override(text: str) -> tuple[str, Any]:
    """("chunk.size", 32) from "chunk.size=32"; the value is read as YAML, so that {kind: l2} and [1, 2] work too."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SpecError([Problem(f"{OPTION} {short(text)}", "no key=value", remedy="for example --set chunk.size=32")])
    return key.strip(), read_value(value, f"{OPTION} {short(key.strip())}")


def with_overrides(source: Source, overrides: Mapping[str, object], places: Mapping[str, str] | None = None) -> Source:
    """The source with values set at dotted keys; messages about them name the option, or where `places` says that a key was set."""
    tree, keys = copy.deepcopy(source.tree), dict(source.keys)
    for key, value in overrides.items():
        place = (places or {}).get(key) or f"{OPTION} {short(key)}"
        if not all(key.split(".")):
            raise SpecError([Problem(place, "a key without a name", remedy="name keys as in the spec: retention.q")])
        parts, path = dotted(key), Path()
        target: Any = tree
        for part, following in pairwise(parts):
            path = (*path, str(part) if isinstance(target, dict) else part)
            keys.setdefault(path, Mark(place, 0, 0))
            target = _enter(target, part, following, place)
        path = (*path, str(parts[-1]) if isinstance(target, dict) else parts[-1])
        _put(target, path[-1], value, place)
        for known in [known for known in keys if known[: len(path)] == path]:
            del keys[known]
        keys[path] = Mark(place, 0, 0)
    return source._replace(tree=tree, keys=keys)


def _enter(target: Any, part: str | int, following: str | int, place: str) -> Any:
    """The container under the part, made if it is not there."""
    if isinstance(target, dict):
        return target.setdefault(str(part), {})
    if isinstance(target, list) and isinstance(part, int) and part < len(target):
        return target[part]
    raise SpecError(
        [
            Problem(
                place,
                f"there is nothing under '{short(str(part))}' to set '{short(str(following))}' in",
                remedy="name keys as in the spec: retention.q",
            )
        ]
    )


def _put(target: Any, part: str | int, value: object, place: str) -> None:
    if isinstance(target, dict):
        target[str(part)] = value
    elif isinstance(target, list) and isinstance(part, int) and part < len(target):
        target[part] = value
    else:
        raise SpecError(
            [
                Problem(
                    place,
                    f"'{short(str(part))}' cannot be set here",
                    "its parent is neither a mapping nor a list that long",
                    "set the parent",
                )
            ]
        )
