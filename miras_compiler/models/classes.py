"""The Hugging Face classes of a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from miras_compiler.errors import InputError
from miras_compiler.models.package import open_package

HEADS = ("ForCausalLM", "ForForecasting")


def model_classes(folder: Path) -> tuple[Any, Any]:
    """The configuration's class and that of the model with a head, of a package; needs transformers."""
    module = open_package(folder)
    exported = getattr(module, "__all__", ())
    configs = [name for name in exported if name.endswith("Config")]
    models = [name for name in exported if name.endswith(HEADS)]
    if not (configs and models):
        raise InputError(f"{folder}: the package has no model; compile its spec again")
    return getattr(module, configs[0]), getattr(module, models[0])
