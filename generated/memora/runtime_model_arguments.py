"""The arguments of a model's call, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .runtime_configuration import MemoryConfig
from .runtime_tensor import described, is_dense
from .runtime_values import holds, may_look


def wanted(given: bool | None, config: MemoryConfig, name: str) -> bool:
    """A switch of a call; where it is not given, the configuration has it."""
    return bool(getattr(config, name) if given is None else given)


def check_tokens(name: str, tokens: object, shape: Sequence[int] | None = None) -> None:
    """Integers, of a shape if one is named; ValueError otherwise. None is left out."""
    numbers = is_dense(tokens) and not tokens.is_floating_point() and not tokens.is_complex() and tokens.dtype != torch.bool
    if tokens is not None and not (numbers and (shape is None or tokens.shape == shape)):  # type: ignore[attr-defined]
        raise ValueError(f"{name}: expected integers of shape {'[B, T]' if shape is None else list(shape)}, got {described(tokens)}")


def check_vocabulary(name: str, tokens: Tensor, embedding: nn.Module, left_out: int | None = None) -> None:
    """Tokens have a row in the embedding, or are `left_out`, where values may be looked at. Raises ValueError."""
    size = getattr(embedding, "num_embeddings", None)
    if size is None or not may_look(tokens):
        return
    wrong = (tokens < 0) | (tokens >= size)
    if left_out is not None:
        wrong &= tokens != left_out
    if holds(wrong.any()):
        raise ValueError(f"{name}: expected tokens of the vocabulary, from 0 to {size - 1}, got {int(tokens[wrong][0])}")


def check_mask(attention_mask: Tensor | None, seen: int, x: Tensor) -> None:
    """A mask has a column per token, or per token and token of the cache; its rows and values are checked where it is used."""
    lengths = {x.shape[1], seen + x.shape[1]}
    if is_dense(attention_mask) and attention_mask.dim() == 2 and attention_mask.shape[1] not in lengths:
        shapes = " or ".join(f"[{x.shape[0]}, {length}]" for length in sorted(lengths))
        raise ValueError(f"attention_mask: expected shape {shapes}, got {list(attention_mask.shape)}")


def refuse(others: dict[str, Any]) -> None:
    """Raises TypeError for arguments that no model here knows: one that is ignored would give wrong numbers."""
    if others.pop("output_attentions", None):
        raise ValueError("output_attentions: a memory has no attention weights")
    unknown = [name for name, value in others.items() if value is not None]
    if unknown:
        raise TypeError(f"{unknown[0]}: an argument that the model does not know")
