"""A generated package, imported from its folder under a name of its own.

`open_package` reads every module from source, never from a bytecode cache, writes no cache, and forgets the modules when it closes: two
versions of one package can be verified in one process, and the folder stays as it was.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from miras_compiler.errors import InputError

Operator = Callable[..., Any]
_numbers = itertools.count()


@dataclass(frozen=True)
class Package:
    """The operators of a generated package, and its manifest."""

    manifest: dict[str, Any]
    naive_recurrent: Operator
    torch_chunk: Operator
    chunk: Operator
    fused_recurrent: Operator
    trace: Operator


class _SourceOnly(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _FolderFinder(MetaPathFinder):
    """Finds the modules of one folder under one invented package name."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, *rest = fullname.split(".")
        if package != self.name or len(rest) > 1:
            return None
        file = self.folder / f"{rest[0] if rest else '__init__'}.py"
        if not file.is_file():
            return None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_SourceOnly(fullname, str(file)), submodule_search_locations=None if rest else [str(self.folder)]
        )


@contextmanager
def open_package(folder: Path, name: str) -> Iterator[Package]:
    """The package `name` in `folder`. InputError if the folder holds no such package, or one that cannot be imported."""
    if not (folder / "__init__.py").is_file() or not (folder / "manifest.json").is_file():
        raise InputError(f"{folder}: no generated package here (no __init__.py or manifest.json); compile the spec first")
    unique = f"_verified_{next(_numbers)}_{name}"
    finder = _FolderFinder(unique, folder)
    sys.meta_path.insert(0, finder)
    try:
        try:
            opened = _load(unique, folder, name)
        except Exception as problem:  # the folder may hold anything
            raise InputError(
                f"{folder}: the package cannot be imported: {type(problem).__name__}: {problem}; compile it again"
            ) from problem
        yield opened
    finally:
        sys.meta_path.remove(finder)
        for module in [module for module in sys.modules if module.split(".")[0] == unique]:
            del sys.modules[module]


def _load(module: str, folder: Path, name: str) -> Package:
    operators = importlib.import_module(f"{module}.ops")
    recurrent = importlib.import_module(f"{module}.recurrent")
    chunked = importlib.import_module(f"{module}.chunked")
    return Package(
        manifest=json.loads((folder / "manifest.json").read_text(encoding="utf-8")),
        naive_recurrent=getattr(recurrent, f"naive_recurrent_{name}"),
        torch_chunk=getattr(chunked, f"torch_chunk_{name}"),
        chunk=getattr(operators, f"chunk_{name}"),
        fused_recurrent=getattr(operators, f"fused_recurrent_{name}"),
        trace=getattr(recurrent, f"trace_{name}"),
    )
