"""The forms in PyTorch of three packages, and arguments for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor

from kit.compiled import without_tiles
from kit.paths import SPECS
from miras_compiler import load_spec
from miras_compiler.verify.inputs import InputShape, draw_inputs

NAMES = ("titans_lmm", "omega_delta", "delta_product")  # chunks; a window; several writes per token
FORMS = ("torch_chunk", "naive_recurrent")
Arguments = dict[str, Any]


@cache
def operator(name: str, form: str) -> Callable[..., Any]:
    package = compiled(name)
    module = sys.modules[f"{package}.{'chunked' if form == 'torch_chunk' else 'recurrent'}"]
    found: Callable[..., Any] = getattr(module, f"{form}_{name}")
    return found


@cache
def compiled(name: str) -> str:
    return str(without_tiles(load_spec(SPECS / f"{name}.yaml")).load().__package__)


def arguments(name: str, batch: int = 2, tokens: int = 9, position: int | None = 2) -> Arguments:
    """In float32, with sequences at different places of their chunks."""
    fields = load_spec(SPECS / f"{name}.yaml").model_dump(by_alias=True)
    given = draw_inputs(fields, InputShape(batch, tokens, 2, 4, 4), seed=0, eta=0.1, position=position).map(Tensor.float)
    return {"q": given.q, "k": given.k, "v": given.v, **given.gates, **given.parameters, "initial_state": dict(given.state)}


def mapped(function: Callable[[Tensor], Tensor], given: Arguments) -> Arguments:
    """The function applied to every tensor, those of the state too."""
    return {name: mapped(function, x) if isinstance(x, dict) else function(x) for name, x in given.items()}


def by_token(given: Arguments, function: Callable[[Tensor], Tensor]) -> Arguments:
    """The function applied to every tensor along tokens."""
    return {name: function(x) if isinstance(x, Tensor) and x.dim() > 2 else x for name, x in given.items()}
