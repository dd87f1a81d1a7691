"""A generated package: its operators, its layer and its manifest, in a process of its own (`process`) or in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from torch import Tensor

from miras_compiler.errors import InputError
from miras_compiler.models.manifest import check_is_package, read_manifest
from miras_compiler.models.package import opened, part_of

Operator = Callable[..., Any]
OPERATORS = {"naive_recurrent": "recurrent", "torch_chunk": "chunked", "chunk": "ops", "fused_recurrent": "ops", "trace": "recurrent"}


class PackageLayer(Protocol):
    """A layer of a package. `tensors`: parameters and buffers by name as they were drawn; `learned`: the names of parameters."""

    tensors: Mapping[str, Tensor]
    learned: Sequence[str]

    def __call__(self, x: Tensor, tensors: Mapping[str, Tensor], past: object = None, **options: object) -> tuple[Tensor, object]:
        """Outputs, with these parameters and buffers, and the cache that the layer leaves."""


class MakeLayer(Protocol):
    """The constructor of a package's layer."""

    def __call__(self, seed: int, **arguments: object) -> PackageLayer: ...

    def shapes(self) -> Mapping[str, Sequence[int]]:
        """Of the parameters and buffers of a layer without arguments, by name."""


@dataclass(frozen=True)
class Package:
    """The operators of a generated package, and its manifest.

    `exports` imports the package and returns the names that it exports, `models` those with its models, for which it imports transformers.
    `triton_chunk` and `triton_fused_recurrent` run its kernels, where it has some and they can run, and `triton_in_parts` the first of
    them with a backward pass that takes one tile of tokens after another: `interpreted` without a GPU; where it has some and they cannot,
    `why_no_kernels` says why.
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
    triton_in_parts: Operator | None = None
    interpreted: bool = False
    why_no_kernels: str = ""


def operators_of(package: ModuleType, name: str) -> dict[str, Operator]:
    """The operators of an open package `name`, by the names of Package's fields."""
    return {target: getattr(part_of(package, file), f"{target}_{name}") for target, file in OPERATORS.items()}


@contextmanager
def opened_here(folder: Path, name: str) -> Iterator[Package]:
    """The package `name` in `folder`, in this process. InputError if the folder holds no such package, or one that cannot be imported."""
    check_is_package(folder)
    with ExitStack() as held:
        try:
            operators = operators_of(held.enter_context(opened(folder)), name)
            package = Package(dict(read_manifest(folder)), **operators)  # type: ignore[arg-type]
        except Exception as problem:  # the folder may hold anything
            raise InputError(
                f"{folder}: the package cannot be imported: {type(problem).__name__}: {problem}; compile it again"
            ) from problem
        yield package
