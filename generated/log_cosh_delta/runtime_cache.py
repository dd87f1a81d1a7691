"""The cache of a layer: its memory of the tokens so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class LayerCache(NamedTuple):
    """The memory of one layer behind the tokens so far; one row per sequence."""

    recurrent_state: dict[str, Tensor] | None  # the state of the operator; None is its start
    conv_state: dict[str, Tensor]  # [N, tokens, channels]: the last inputs of every convolution, the last of every row that lags


def read_cache(past_key_values: object, number: int, sequences: int, tails: Mapping[str, tuple[int, int]]) -> LayerCache | None:
    """The cache of layer `number`, for so many sequences; None where it has none yet.

    `tails` are tokens and channels of `conv_state`, by name. Raises ValueError for a value that no layer of this kind returned.
    """
    if past_key_values is None:
        return None
    if not isinstance(past_key_values, Mapping):
        got = type(past_key_values).__name__
        raise ValueError(f"past_key_values: expected the mapping from numbers of layers to caches that a layer returned, got {got}")
    if number not in past_key_values:
        return None
    cache: LayerCache = past_key_values[number]
    name = f"past_key_values[{number}]"
    if getattr(cache, "_fields", None) != LayerCache._fields:  # those of another package are as good
        raise ValueError(f"{name}: expected a LayerCache, got {type(cache).__name__}")
    state = {"": cache.recurrent_state} if isinstance(cache.recurrent_state, Tensor) else cache.recurrent_state
    for field, tensors in (("recurrent_state", state), ("conv_state", cache.conv_state)):
        if not isinstance(tensors, Mapping):
            raise ValueError(f"{name}.{field}: expected a dict of tensors, got {type(tensors).__name__}")
        for entry, x in tensors.items():
            if not isinstance(x, Tensor):
                raise ValueError(f"{name}.{field}[{entry!r}]: expected a tensor, got {type(x).__name__}")
            if x.dim() == 0 or x.shape[0] != sequences:
                raise ValueError(f"{name}.{field}[{entry!r}]: expected a row for each of {sequences} sequences, got {list(x.shape)}")
    if set(cache.conv_state) != set(tails):
        raise ValueError(f"{name}.conv_state: expected entries {sorted(tails)}, got {sorted(map(str, cache.conv_state))}")
    for entry, (tokens, channels) in tails.items():
        expected, shape = [sequences, tokens, channels], list(cache.conv_state[entry].shape)
        if shape != expected:
            raise ValueError(f"{name}.conv_state[{entry!r}]: expected shape [N, tokens, channels] = {expected}, got {shape}")
    return cache
