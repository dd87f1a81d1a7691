"""The Hugging Face models of a compiled package, opened from its folder."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from miras_compiler.errors import InputError
from miras_compiler.store import MANIFEST

HEADS = ("ForCausalLM", "ForForecasting")


def open_package(folder: Path) -> ModuleType:
    """The package in `folder` as a module of this process; InputError where there is none, or it cannot be imported.

    Its name comes from the whole path: packages of one name stand beside each other.
    """
    place = folder.resolve()
    if not (place / MANIFEST).is_file():
        raise InputError(f"{folder}: is no package (no {MANIFEST}); compile its spec again")
    name = f"{place.name}_{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    assert found is not None
    assert found.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except Exception as problem:  # the folder may hold anything
        del sys.modules[name]
        raise InputError(f"{folder}: the package cannot be imported: {type(problem).__name__}: {problem}; compile it again") from problem
    return module


def model_classes(folder: Path) -> tuple[Any, Any]:
    """The configuration's class and that of the model with a head, of a package; needs transformers."""
    module = open_package(folder)
    exported = getattr(module, "__all__", ())
    configs = [name for name in exported if name.endswith("Config")]
    models = [name for name in exported if name.endswith(HEADS)]
    if not (configs and models):
        raise InputError(f"{folder}: the package has no model; compile its spec again")
    return getattr(module, configs[0]), getattr(module, models[0])
