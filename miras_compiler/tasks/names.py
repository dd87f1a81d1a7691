"""Tasks by their names, and the text by which a command line sets their fields: `mqar,vocab_size=64,pairs=4`."""

from __future__ import annotations

import dataclasses
from typing import Any

from miras_compiler.errors import InputError, nearest, short
from miras_compiler.tasks.base import Task
from miras_compiler.tasks.copying import Copy
from miras_compiler.tasks.induction import Induction
from miras_compiler.tasks.mad import (
    Compression,
    FuzzyInContextRecall,
    InContextRecall,
    Memorization,
    NoisyInContextRecall,
    SelectiveCopying,
)
from miras_compiler.tasks.mqar import Mqar
from miras_compiler.tasks.niah import Niah, NiahNumber, NiahPasskey, NiahWord
from miras_compiler.tasks.noisy_recall import NoisyRecall

CLASSES: tuple[type[Task], ...] = (
    Mqar, NoisyRecall, Copy, Induction, Niah, NiahPasskey, NiahNumber, NiahWord,
    InContextRecall, FuzzyInContextRecall, NoisyInContextRecall, SelectiveCopying, Compression, Memorization,
)  # fmt: skip
TASKS: dict[str, type[Task]] = {task.name: task for task in CLASSES}


def build_task(text: str, **fields: Any) -> Task:
    """The task that `NAME[,FIELD=VALUE…]` names; `fields` come before those in the text. InputError names the fault of the text."""
    name, *settings = text.split(",")
    if name not in TASKS:
        raise InputError(f"--task {short(text)}: there is no task '{short(name)}'; {nearest(name, TASKS)}")
    task = TASKS[name]
    known = {field.name: field.type for field in dataclasses.fields(task)}  # type: ignore[arg-type]
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or key not in known:
            raise InputError(
                f"--task {short(text)}: '{short(setting)}' sets no field of {name}; {nearest(key, known) if known else 'it has none'}"
            )
        fields[key] = _number(text, key, value, float if known[key] == "float" else int)
    unknown = [key for key in fields if key not in known]
    if unknown:
        raise InputError(f"--task {short(text)}: {name} has no {unknown[0]} to set; it has {', '.join(known) or 'no fields'}")
    return task(**fields)


def describe_task(task: Task) -> str:
    """The text that names the task with every field, as `build_task` reads it."""
    fields = dataclasses.asdict(task)  # type: ignore[call-overload]
    return ",".join([task.name, *(f"{key}={value}" for key, value in fields.items())])


def _number(text: str, key: str, value: str, number_type: type[int] | type[float]) -> float:
    try:
        number = number_type(value)
    except ValueError:
        raise InputError(
            f"--task {short(text)}: {key} must be {'a number' if number_type is float else 'an integer'}, got '{short(value)}'"
        ) from None
    if not 0 <= number < 2**40:
        raise InputError(f"--task {short(text)}: {key} must be at least 0 and below 2⁴⁰, got {short(value)}")
    return number
