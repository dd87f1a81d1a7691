"""manifest.json: facts about a package, for tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from miras_compiler.errors import InputError

MANIFEST = "manifest.json"  # a folder with this file is a package of ours


class ManifestInput(TypedDict):
    """A tensor that the operators take: `axes` are letters, B batch, T tokens, H heads, K and V widths, N hidden width."""

    name: str
    axes: list[str]
    role: str
    domain: str


class ManifestEntry(TypedDict):
    """A tensor of the state."""

    name: str
    axes: list[str]


class ManifestForm(TypedDict):
    """The parallel form, the reason for it, and whether it computes the rule exactly."""

    kind: str
    reason: str
    exact: bool


class ManifestCost(TypedDict):
    """A cost per token and head."""

    what: str
    value: float
    unit: str


class ManifestKernels(TypedDict):
    """The Triton kernels: `schedule` is "chunk", "chunk_walk" or "walk", with the `reason` of walks; `form` is one of the launch table."""

    triton: bool
    schedule: str
    reason: str
    form: str


class Manifest(TypedDict):
    """The file: `dims` by letters, `chunk` as in the spec, `ops` the operators' names."""

    name: str
    digest: str
    compiler_version: str
    paper: str
    dims: dict[str, int]
    inputs: list[ManifestInput]
    state: list[ManifestEntry]
    parallel_form: ManifestForm
    chunk: dict[str, Any]
    cost: list[ManifestCost]
    ops: dict[str, str]
    kernels: ManifestKernels


def check_is_package(folder: Path) -> None:
    """InputError if the folder holds no package."""
    for name in (MANIFEST, "__init__.py"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: is not a package (no {name}); compile its spec, or name the folder of a package")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the package in a folder. InputError if there is none, or no JSON object in it."""
    check_is_package(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{folder / MANIFEST}: is not JSON: {error}; compile its spec again") from None
    if not isinstance(manifest, Mapping):
        raise InputError(f"{folder / MANIFEST}: holds no JSON object; compile its spec again")
    return cast("Manifest", manifest)
