"""The specs that a command line names, with the keys that it sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from miras_compiler.errors import InputError, Problem, SpecError
from miras_compiler.spec import Spec, load_spec, parse_override


def overrides(settings: Sequence[str] | None) -> dict[str, object]:
    """Keys and values of all `--set`; raises SpecError with everything that is wrong with them."""
    values: dict[str, object] = {}
    problems: list[Problem] = []
    for setting in settings or ():
        try:
            key, value = parse_override(setting)
            values[key] = value
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return values


def load_one(path: Path, settings: Sequence[str] | None) -> Spec:
    return load_spec(path, overrides(settings))


def load_each(paths: Iterable[Path], settings: Sequence[str] | None) -> list[Spec]:
    """All specs; raises one SpecError with all problems of all files."""
    values = overrides(settings)
    specs: list[Spec] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            specs.append(load_spec(path, values))
        except InputError as error:
            problems += problems_of(error)
    if problems:
        raise SpecError(dict.fromkeys(problems))
    return specs


def load_all(paths: Iterable[Path], settings: Sequence[str] | None) -> list[Spec]:
    """All specs, for one folder; raises as `load_each` does, and InputError if two specs have one name."""
    specs = load_each(paths, settings)
    places: dict[str, str] = {}
    for spec in specs:
        if spec.name in places:
            raise InputError(
                f"{places[spec.name]} and {spec.location} both have the name '{spec.name}', and would be written to one folder"
            )
        places[spec.name] = spec.location
    return specs


def problems_of(error: InputError) -> tuple[Problem, ...]:
    """The problems of a spec, or the one problem that it cannot be read."""
    return error.problems if isinstance(error, SpecError) else (Problem("", str(error)),)
