"""A generated package: its operators, its layer and its manifest, in a process of its own (`process`) or in this one.

`imported` reads every module from source, never from a bytecode cache, and writes no cache: two versions of one package can be open in one
process, and the folder stays as it was.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

from torch import Tensor

from miras_compiler.errors import InputError

Operator = Callable[..., Any]
OPERATORS = {"naive_recurrent": "recurrent", "torch_chunk": "chunked", "chunk": "ops", "fused_recurrent": "ops", "trace": "recurrent"}
_numbers = itertools.count()


class Layer(Protocol):
    """A layer of a package. `tensors`: parameters and buffers by name as they were drawn; `learned`: the names of parameters."""

    tensors: Mapping[str, Tensor]
    learned: Sequence[str]

    def __call__(self, x: Tensor, tensors: Mapping[str, Tensor], past: object = None, **options: object) -> tuple[Tensor, object]:
        """Outputs, with these parameters and buffers, and the cache that the layer leaves."""


class MakeLayer(Protocol):
    """The constructor of a package's layer."""

    def __call__(self, seed: int, **arguments: object) -> Layer: ...

    def shapes(self) -> Mapping[str, Sequence[int]]:
        """Of the parameters and buffers of a layer without arguments, by name."""


@dataclass(frozen=True)
class Package:
    """The operators of a generated package, and its manifest.

    `exports` imports the package and returns the names that it exports, `models` those with its models, for which it imports transformers.
    `triton_chunk` and `triton_fused_recurrent` run its kernels, where it has some and they can run: `interpreted` without a GPU; where it
    has some and they cannot, `why_no_kernels` says why.
    """

    manifest: dict[str, Any]
    naive_recurrent: Operator
    torch_chunk: Operator
    chunk: Operator
    fused_recurrent: Operator
    trace: Operator
    make_layer: MakeLayer | None = None
    exports: Callable[[], Sequence[str]] | None = None
    models: Callable[[], Sequence[str]] | None = None
    triton_chunk: Operator | None = None
    triton_fused_recurrent: Operator | None = None
    interpreted: bool = False
    why_no_kernels: str = ""


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


def check_folder(folder: Path) -> None:
    """InputError if the folder holds no package."""
    if not (folder / "__init__.py").is_file() or not (folder / "manifest.json").is_file():
        raise InputError(f"{folder}: no generated package here (no __init__.py or manifest.json); compile the spec first")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest; ValueError where the file holds none."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if not isinstance(manifest, dict):
        raise ValueError("manifest.json: expected an object")
    return manifest


@contextmanager
def imported(folder: Path, name: str) -> Iterator[tuple[ModuleType, Mapping[str, Operator]]]:
    """The package as a module under a name of its own, and its operators; forgotten at the end."""
    unique = f"_verified_{next(_numbers)}_{name}"
    finder = _FolderFinder(unique, folder)
    sys.meta_path.insert(0, finder)
    try:
        modules = {file: importlib.import_module(f"{unique}.{file}") for file in OPERATORS.values()}
        operators = {target: getattr(modules[file], f"{target}_{name}") for target, file in OPERATORS.items()}
        yield importlib.import_module(unique), operators
    finally:
        sys.meta_path.remove(finder)
        for module in [module for module in sys.modules if module.split(".")[0] == unique]:
            del sys.modules[module]


@contextmanager
def open_package(folder: Path, name: str) -> Iterator[Package]:
    """The package `name` in `folder`, in this process. InputError if the folder holds no such package, or one that cannot be imported."""
    check_folder(folder)
    with ExitStack() as held:
        try:
            _, operators = held.enter_context(imported(folder, name))
            opened = Package(read_manifest(folder), **operators)  # type: ignore[arg-type]
        except Exception as problem:  # the folder may hold anything
            raise InputError(
                f"{folder}: the package cannot be imported: {type(problem).__name__}: {problem}; compile it again"
            ) from problem
        yield opened
