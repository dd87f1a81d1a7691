"""The runtime's files that a package needs, as text: the compiler copies them and never imports them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Mapping
from importlib import resources

PREFIX = "runtime_"


def runtime_files(texts: Mapping[str, str]) -> dict[str, str]:
    """The runtime modules that these files import, and those that they import in turn, by file name."""
    found: dict[str, str] = {}
    waiting = sorted(imported_by(texts.values()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = read_runtime(name)
            waiting += sorted(imported_by([found[name]]))
    return dict(sorted(found.items()))


def imported_by(texts: Iterable[str]) -> set[str]:
    """The file names of the runtime modules in `from .runtime_x import …` statements, at any depth of the code."""
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module}
    return {f"{module}.py" for module in modules if module.startswith(PREFIX)}


@functools.cache
def read_runtime(name: str) -> str:
    """The text of one runtime module."""
    return (resources.files("miras_compiler") / "runtime" / name).read_text(encoding="utf-8")
