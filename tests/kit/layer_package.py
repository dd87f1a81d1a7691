"""Generated packages with small layers, imported under names of their own."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kit.compiled import without_tiles
from kit.paths import SPECS
from miras_compiler.spec import Spec, load_spec
from miras_compiler.spec.exports import layer_class

MODELS = ("linear_attention", "gated_delta_net", "titans_lmm", "yaad", "moneta", "memora")
DEEP = ("titans_lmm", "yaad", "moneta", "memora")
HIDDEN = 12
_numbers = itertools.count()


def small_spec(name: str, **layer: object) -> Spec:
    """A shipped spec with two heads of width 4, chunks of 4 tokens, and `layer` settings."""
    overrides: dict[str, object] = {"layer.heads": 2, "layer.head_dim": 4, "layer.value_dim": 4, "chunk.size": 4}
    if name in DEEP:
        overrides["memory.expansion"] = 2
    if name == "yaad":
        overrides["gates.delta.init"] = 1.0  # the shipped one is for width 64; here few errors are near this one
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
    """The package of a spec, compiled and imported; see `without_tiles`."""
    with tempfile.TemporaryDirectory() as folder:
        return load_package(without_tiles(spec).write(folder))


@functools.cache
def small_package(name: str) -> Any:
    """The package of `small_spec`."""
    return package_of(small_spec(name))


def layer_of(package: Any, spec: Spec, **arguments: Any) -> Any:
    """A layer of the package, with weights that are the same in every run, number 0 of its network unless `arguments` say otherwise."""
    torch.manual_seed(0)
    layer = getattr(package, layer_class(spec))(**({"hidden_size": HIDDEN, "layer_idx": 0} | arguments))
    assert isinstance(layer, nn.Module)
    return layer


def small_layer(name: str, *, moved: bool = True, **arguments: Any) -> Any:
    """A layer of `small_spec` in float64; `moved`: a little away from its start, so that gates depend on the input."""
    layer = layer_of(small_package(name), small_spec(name), **arguments).double()
    if moved:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return layer


def hidden(*shape: int, seed: int = 0) -> Tensor:
    """Random hidden states [*shape, HIDDEN] in float64."""
    return torch.randn(*shape, HIDDEN, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def handed_to_the_operator(monkeypatch: pytest.MonkeyPatch, operator: str, layer: Any, x: Tensor, **arguments: Any) -> dict[str, Any]:
    """The arguments with which the layer calls `operator`, which returns its values in this."""
    caught: dict[str, Any] = {}

    def stand_in(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> tuple[Tensor, None]:
        caught.update(given, q=q, k=k, v=v)
        return v[:, : q.shape[1]], None

    monkeypatch.setattr(f"{type(layer).__module__}.{operator}", stand_in)
    layer(x, **arguments)
    return caught


def distance(x: Tensor, y: Tensor) -> float:
    """The largest difference of entries."""
    return float((x - y).detach().abs().max())
