"""Models of generated packages, tiny, in float64, a little away from their start, so that gates depend on the input."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kit.compiled import without_tiles
from kit.layer_package import load_package
from kit.paths import SPECS
from miras_compiler.spec import Spec, load_spec, parse_override
from miras_compiler.spec.exports import class_stem

DEEP = ("titans_lmm", "yaad")
TINY = {"vocab_size": 53, "hidden_size": 16, "num_hidden_layers": 2, "num_heads": 2, "head_dim": 8, "intermediate_size": 24}
FOLDER = tempfile.TemporaryDirectory(prefix="miras-models-")


def tiny_spec(name: str, **model: object) -> Spec:
    """A shipped spec with chunks of 4 tokens, and settings of its model."""
    overrides: dict[str, object] = {"chunk.size": 4, **dict(parse_override(f"model.{key}={value}") for key, value in model.items())}
    if name in DEEP:
        overrides["memory.expansion"] = 2
    return load_spec(SPECS / f"{name}.yaml", overrides)


@functools.cache
def package(name: str, **model: object) -> Any:
    """The package of `tiny_spec`, compiled and imported; see `without_tiles`."""
    folder = Path(FOLDER.name) / "_".join([name, *map(str, model.values())]).replace(",", "_").strip("[]()")
    return load_package(without_tiles(tiny_spec(name, **model)).write(folder))


def classes(name: str, **model: object) -> tuple[Any, Any, Any]:
    """Configuration, model and language model of a package."""
    own, called = package(name, **model), class_stem(tiny_spec(name))
    return getattr(own, f"{called}Config"), getattr(own, f"{called}Model"), getattr(own, f"{called}ForCausalLM")


def language_model(name: str, fields: dict[str, Any] | None = None, **model: object) -> Any:
    """A language model in float64, in evaluation mode."""
    config, _, kind = classes(name, **model)
    torch.manual_seed(0)
    made = kind(config(**TINY | (fields or {}))).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def tokens(*shape: int, seed: int = 0) -> Tensor:
    """Random tokens, none of which is 0."""
    return torch.randint(1, TINY["vocab_size"], shape, generator=torch.Generator().manual_seed(seed))


def padded(rows: list[Tensor], side: str, width: int) -> tuple[Tensor, Tensor]:
    """Rows of tokens [T] in a batch of that width, and its mask."""
    ids, mask = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros(len(rows), width, dtype=torch.int64)
    for number, row in enumerate(rows):
        place = slice(width - len(row), None) if side == "left" else slice(0, len(row))
        ids[number, place], mask[number, place] = row, 1
    return ids, mask
