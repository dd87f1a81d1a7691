"""Generated files for a page: highlighted line by line, each different text of a file once, lines tied to the values they compute."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from miras_compiler.compare.highlight import highlighted
from miras_compiler.compare.links import Link, ProgramLinks
from miras_compiler.compare.subjects import Compared

FIRST = "recurrent.py chunked.py kernels.py decode.py layer.py ops.py".split()
NONE = Link("", ())
PLAIN = 60_000  # characters; a file that is longer goes into the page compressed


@dataclass(frozen=True)
class CodeFile:
    """A file of the packages: its different texts, and which one each spec has (None where it has no such file).

    A text is {"lines": HTML of every line, "ties": [line, node, keys] of the lines that compute a value of the rule}.
    """

    path: str
    variants: tuple[dict[str, Any], ...]
    variant_of: tuple[int | None, ...]

    @property
    def shared(self) -> bool:
        """True if a file of the runtime is the same wherever it is."""
        return self.path.startswith("runtime_") and len(self.variants) == 1

    def lacking(self, subjects: Sequence[Compared]) -> list[str]:
        """The labels of those that have no such file."""
        return [subject.label for subject, variant in zip(subjects, self.variant_of, strict=True) if variant is None]

    def entry(self) -> dict[str, Any]:
        """The entry of the file in the page's index."""
        return {"path": self.path, "of": self.variant_of, "shared": self.shared}

    def packed(self) -> tuple[str, bool]:
        """JSON of the texts, for a script element; with True compressed by gzip, in base64."""
        text = json.dumps(self.variants, ensure_ascii=False, separators=(",", ":"))
        if len(text) > PLAIN:
            return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode(), True
        return text.replace("<", "\\u003c"), False


def code_files(subjects: Sequence[Compared]) -> list[CodeFile]:
    """All files but pictures, in the order to read them."""
    paths = {path for subject in subjects for path in subject.files if not path.endswith(".svg")}
    return [code_file(path, subjects) for path in sorted(paths, key=reading_order)]


def reading_order(path: str) -> tuple[bool, int, str]:
    """Sorts files: those to read first, the other ones, then the runtime."""
    return path.startswith("runtime_"), FIRST.index(path) if path in FIRST else len(FIRST), path


def code_file(path: str, subjects: Sequence[Compared]) -> CodeFile:
    """One file, as it is in every package."""
    variants: dict[str, dict[str, Any]] = {}
    variant_of: list[int | None] = []
    for subject in subjects:
        text = subject.files.get(path)
        if text is None:
            variant_of.append(None)
            continue
        if text not in variants:
            ties = list(_ties(path, text, subject)) if not path.startswith("runtime_") else []
            variants[text] = {"lines": highlighted(path, text), "ties": ties}
        variant_of.append(list(variants).index(text))
    return CodeFile(path, tuple(variants.values()), tuple(variant_of))


def _ties(path: str, text: str, subject: Compared) -> Iterator[tuple[int, str, str]]:
    """Lines (from 0) of the statements of Python that compute a value, with its node and the keys that it comes from."""
    if not path.endswith(".py"):
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a package that was edited by hand
        return
    made = subject.compilation
    step = made.update_rule.step
    links = ProgramLinks(made, step.trace if path == "recurrent.py" else made.program).by_name
    gates = {gate: re.compile(rf"(?<![^\W_]){re.escape(gate)}(?![^\W_])") for gate in made.spec.gates}
    written = text.splitlines()
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.col_offset == 0:
            continue
        end = statement.end_lineno or statement.lineno
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        node, keys = links.get(target.id, NONE) if isinstance(target, ast.Name) else NONE
        code = "\n".join(line.partition("  # ")[0] for line in written[statement.lineno - 1 : end])
        named = (f"gates.{gate}" for gate, pattern in gates.items() if pattern.search(code))
        found = " ".join(dict.fromkeys((*keys, *named)))
        for line in range(statement.lineno - 1, end) if found else ():
            yield line, node, found


def index_of(files: Sequence[CodeFile], subjects: Sequence[Compared]) -> Mapping[str, Any]:
    """The facts about files that the page's script needs."""
    return {"labels": [subject.label for subject in subjects], "files": [file.entry() for file in files]}
