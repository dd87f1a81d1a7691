"""Docstrings and comments are plain English: a subject, a verb, an object; a short list holds phrases that are not. One name, one class."""

from __future__ import annotations

import ast
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kit.paths import ROOT

FOLDERS = ("miras_compiler", "tests", "benchmarks", "docs")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
CLAUSE = re.compile(r"(what|whether|how|which|whose|who|where|when|that|if)\b", re.IGNORECASE)  # no docstring begins with one
BANNED = re.compile(r"\b(what|whoever|likewise|(is|are|was|were|be|been|so) told|who fails|parts? company)\b", re.IGNORECASE)
MESSAGE = re.compile(r"(?<!there )\b(is|are) no (?!longer)|\b(away|anew|what|whoever|likewise)\b")  # no text of an error holds one
QUOTED = re.compile(r'`[^`]*`|"[^"]*"')  # code and names are no English


@cache
def nodes(path: Path) -> list[ast.AST]:
    """The nodes of the syntax tree of a file, read once for all tests."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def texts(path: Path) -> Iterator[tuple[int, bool, str]]:
    """The docstrings and comments of a file: the line, True for a docstring, and the text."""
    for node in nodes(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, True, text
    with path.open("rb") as file:
        yield from ((token.start[0], False, token.string) for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT)


def faults(path: Path) -> Iterator[str]:
    for line, is_docstring, text in texts(path):
        if is_docstring and CLAUSE.match(text):
            yield f"{path.relative_to(ROOT)}:{line}: begins with a clause: {text.splitlines()[0]}"
        if found := BANNED.search(QUOTED.sub("", text)):
            yield f"{path.relative_to(ROOT)}:{line}: {found[0]!r} in {text!r}"


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of errors and faults of a file, without the values in them: the line, and the text."""
    for node in nodes(path):
        name = (node.func.id if isinstance(node.func, ast.Name) else "") if isinstance(node, ast.Call) else ""
        if name.endswith("Error") or name in ("CheckFailed", "Fault", "refused"):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    yield part.lineno, part.value


def test_messages_are_plain_english() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {fault[0]!r} in {text!r}"
        for path in FILES
        if path.is_relative_to(ROOT / "miras_compiler")
        for line, text in messages(path)
        if (fault := MESSAGE.search(QUOTED.sub("", text)))
    ]
    assert found == []


def test_docstrings_and_comments_have_a_subject_and_no_banned_phrase() -> None:
    assert "\n".join(fault for path in FILES for fault in faults(path)) == ""


@pytest.mark.parametrize(
    "text", ["Whether it is so.", "A row, and what it holds.", "The first is told.", "The same, likewise.", "Whoever reads it."]
)
def test_a_sentence_of_the_list_is_found(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_style.ROOT", tmp_path)
    (tmp_path / "a.py").write_text(f'"""{text}"""\n', encoding="utf-8")
    assert len(list(faults(tmp_path / "a.py"))) == 1


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in (ROOT / "miras_compiler").rglob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and node.col_offset == 0 and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}
