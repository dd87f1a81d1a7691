"""Generated packages with small layers, imported under names of their own."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from miras_compiler.compiler import compile_spec
from miras_compiler.emit.layer import layer_class
from miras_compiler.spec import Spec, load_spec

SPECS = Path(__file__).resolve().parents[1] / "specs"
MODELS = ("linear_attention", "gated_delta_net", "titans_lmm", "yaad", "moneta", "memora")
DEEP = ("titans_lmm", "yaad", "moneta", "memora")
HIDDEN = 12
_numbers = itertools.count()


def small_spec(name: str, **layer: object) -> Spec:
    """A shipped spec with two heads of width 4, chunks of 4 tokens and `layer` settings."""
    overrides: dict[str, object] = {"layer.heads": 2, "layer.head_dim": 4, "layer.value_dim": 4, "model.width": HIDDEN, "chunk.size": 4}
    if name in DEEP:
        overrides["memory.expansion"] = 2
    return load_spec(SPECS / f"{name}.yaml", overrides | {f"layer.{key}": value for key, value in layer.items()})


def load_package(folder: Path) -> Any:
    """The package in a folder, as a module."""
    name = f"_layer_{next(_numbers)}_{folder.name}"
    found = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def package_of(spec: Spec) -> Any:
    """The package of a spec, compiled and imported."""
    with tempfile.TemporaryDirectory() as folder:
        return load_package(compile_spec(spec).write(folder))


@functools.cache
def small_package(name: str) -> Any:
    """The package of `small_spec`."""
    return package_of(small_spec(name))


def small_layer(name: str, **arguments: object) -> nn.Module:
    """A layer of `small_spec`, number 0 of its network."""
    layer = getattr(small_package(name), layer_class(small_spec(name)))(layer_idx=0, **arguments)
    assert isinstance(layer, nn.Module)
    return layer
