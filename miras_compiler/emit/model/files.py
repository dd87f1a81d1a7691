"""The files that a saved model needs, named where transformers looks for them."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.emit.runtime_files import modules_of


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
        new = modules_of(texts[waiting.pop()]) - found
        found |= new
        waiting += [f"{module}.py" for module in new]
    return found
