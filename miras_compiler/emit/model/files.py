"""The files that a saved model needs, named where transformers looks for them."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def with_files(name: str, texts: Mapping[str, str]) -> str:
    """A file of the package, and below it a line for every file that it needs at some depth.

    Old versions of transformers copy the modules that the first file names, in any text that reads as an import, and no others.
    """
    lines = [f"from .{module} import *" for module in sorted(needed(name, texts))]
    return texts[name] + "\n".join(
        ["", 'FILES = """What transformers copies beside this file, if it is too old to look for it:', *lines, '"""', ""]
    )


def needed(name: str, texts: Mapping[str, str]) -> set[str]:
    """The modules of the package that a file imports, and those that they import in turn."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for node in ast.walk(ast.parse(texts[waiting.pop()])):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module and node.module not in found:
                found.add(node.module)
                waiting.append(f"{node.module}.py")
    return found
