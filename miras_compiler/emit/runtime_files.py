"""The runtime's files that a package needs, as text: the compiler copies them and never imports them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources

PREFIX = "runtime_"
IMPORT = re.compile(r"^ *from \.(\w+) import ", re.MULTILINE)


def runtime_files(texts: Mapping[str, str]) -> dict[str, str]:
    """The runtime modules that these files import, and those that they import in turn, by file name."""
    found: dict[str, str] = {}
    waiting = list(texts.values())
    while waiting:
        for module in modules_of(waiting.pop()):
            if module.startswith(PREFIX) and f"{module}.py" not in found:
                found[f"{module}.py"] = read_runtime(f"{module}.py")
                waiting.append(found[f"{module}.py"])
    return dict(sorted(found.items()))


def modules_of(text: str) -> set[str]:
    """The modules of its own package that a file imports, `from .x import …`, at any depth of the code."""
    return set(IMPORT.findall(text))


@functools.cache
def read_runtime(name: str) -> str:
    """The text of one runtime module."""
    return (resources.files("miras_compiler") / "runtime" / name).read_text(encoding="utf-8")
