"""Multiple choice: questions of a JSONL file in the format of HellaSwag, of PIQA, or plain."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from miras_compiler.errors import InputError, short

FORMATS = "context, endings and label; HellaSwag's ctx, endings and label; or PIQA's goal, sol1, sol2 and label"
MARKS = re.compile(r"\[.*?\]")


class Question(NamedTuple):
    """A text, and the ways in which it may go on, of which number `label` is right."""

    query: str
    choices: tuple[str, ...]
    label: int


def read_questions(path: Path) -> list[Question]:
    """A question a line; texts are put together as lm-evaluation-harness does for the two tasks. InputError names file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}; name a JSONL file of questions") from None
    found = [read_question(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InputError(f"{path}: has no questions; each line holds {FORMATS}")
    return found


def read_question(place: str, line: str) -> Question:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InputError(f"{place}: holds no JSON object; a line holds {FORMATS}")
    query, choices = texts_of(fields)
    if query is None or len(choices) < 2 or not all(isinstance(text, str) for text in (query, *choices)):
        raise InputError(f"{place}: has {', '.join(map(short, fields)) or 'no fields'}; a line holds {FORMATS}")
    label = str(fields.get("label", ""))
    if not label.isdecimal() or int(label) >= len(choices):
        raise InputError(f"{place}: label must be one of 0 … {len(choices) - 1}, the number of the right ending, got '{short(label)}'")
    return Question(query, tuple(choices), int(label))


def texts_of(fields: dict[str, Any]) -> tuple[Any, Sequence[Any]]:
    """The query, None where there is none, and the choices."""
    if "goal" in fields:
        return f"Question: {fields['goal']}\nAnswer:", [fields.get("sol1"), fields.get("sol2")]
    endings = fields.get("endings")
    choices = endings if isinstance(endings, list) else []
    if "context" in fields:
        return fields["context"], choices
    context = fields.get("ctx")
    if isinstance(fields.get("ctx_a"), str) and isinstance(fields.get("ctx_b"), str):
        context = f"{fields['ctx_a']} {fields['ctx_b'].capitalize()}"
    if not isinstance(context, str):
        return None, choices
    if isinstance(fields.get("activity_label"), str):
        context = f"{fields['activity_label']}: {context}"
    return without_marks(context), [without_marks(ending) if isinstance(ending, str) else ending for ending in choices]


def without_marks(text: str) -> str:
    """A text of HellaSwag without the marks that WikiHow left in it."""
    return MARKS.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ")
