"""The one way to import a package from its folder: for good, or for a while."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from miras_compiler.errors import InputError
from miras_compiler.models.manifest import check_is_package

_numbers = itertools.count()


def open_package(folder: Path) -> ModuleType:
    """The package in `folder` as a module of this process; InputError where there is none, or it cannot be imported.

    Its name comes from the whole path: packages of one name stand beside each other.
    """
    check_is_package(folder)
    place = folder.resolve()
    name = f"{place.name}_{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    assert found is not None
    assert found.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except BaseException as problem:  # the folder may hold anything
        _forget(name)
        if not isinstance(problem, Exception):
            raise
        raise InputError(f"{folder}: the package cannot be imported: {type(problem).__name__}: {problem}; compile it again") from problem
    return module


def part_of(package: ModuleType, name: str) -> ModuleType:
    """A file of an open package, as a module: part_of(package, "kernels")."""
    return importlib.import_module(f"{package.__name__}.{name}")


@contextmanager
def opened(folder: Path) -> Iterator[ModuleType]:
    """The package as it lies in `folder` now, as a module under a name of its own; forgotten at the end.

    Every file is read from source, never from a bytecode cache, and no cache is written: two versions of one package can be open in one
    process, and the folder stays as it was. Raises whatever the package raises.
    """
    name = f"_opened_{next(_numbers)}_{folder.name}"
    finder = _FolderFinder(name, folder)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(name)
    finally:
        sys.meta_path.remove(finder)
        _forget(name)


def _forget(name: str) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


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
