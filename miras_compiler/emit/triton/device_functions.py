"""The device functions that packages share, as the runtime's files define them, and the imports of those that a file calls."""

from __future__ import annotations

import ast
import functools
import re
from importlib import resources

from miras_compiler.emit.printing.python_text import import_line
from miras_compiler.emit.runtime_files import read_runtime

PREFIX = "runtime_device_"
TEXTS = re.compile(r'"""(?s:.*?)"""|"[^"\n]*"|#.*')  # and comments
NAMES = re.compile(r"(?<![\w.])[A-Za-z_]\w*")  # but those of attributes


@functools.cache
def device_functions() -> dict[str, str]:
    """The module of every device function, by the function's name."""
    folder = resources.files("miras_compiler") / "runtime"
    names = sorted(file.name for file in folder.iterdir() if file.name.startswith(PREFIX))
    parsed = {name.removesuffix(".py"): ast.parse(read_runtime(name)) for name in names}
    return {node.name: module for module, tree in parsed.items() for node in tree.body if isinstance(node, ast.FunctionDef)}


def device_imports(code: str) -> str:
    """The import lines of the device functions that the code names."""
    known = device_functions()
    named = set(NAMES.findall(TEXTS.sub("", code)))
    by_module: dict[str, list[str]] = {}
    for name in sorted(named & known.keys()):
        by_module.setdefault(known[name], []).append(name)
    return "\n".join(import_line(f".{module}", names) for module, names in sorted(by_module.items()))
