"""What every layer has in common: its forward pass from hidden states to hidden states, padding, and the cache.

A layer of a package is a `TokenMixer` that says what lies between: its `mix`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from .runtime_padding import unpadded


class LayerCache(NamedTuple):
    """The memory of one layer behind the tokens so far; one row per sequence."""

    recurrent_state: dict[str, Tensor] | None  # the state of the operator; None is its start
    conv_state: dict[str, Tensor]  # [N, width − 1, channels]: the last inputs of every convolution; empty where the layer has none


class TokenMixer(nn.Module):
    """A layer over sequences; `layer_idx` is its number in its network, by which caches are keyed."""

    def __init__(self, layer_idx: int | None) -> None:
        super().__init__()
        self.layer_idx = layer_idx

    def mix(self, x: Tensor, past: LayerCache, use_cache: bool, cu_seqlens: Tensor | None) -> tuple[Tensor, LayerCache]:
        """The outputs for x [B, T, hidden], and the cache behind it; without a state where it is not wanted."""
        raise NotImplementedError

    def initial_state(self, sequences: int) -> dict[str, Tensor] | None:
        """The state at which so many sequences start; None where the operator knows it."""
        return None

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Mapping[int, LayerCache] | None = None,
        use_cache: bool = False,
        cu_seqlens: Tensor | None = None,
    ) -> tuple[Tensor, None, Mapping[int, LayerCache] | None]:
        """The outputs, no attention weights, and the caches of all layers.

        `attention_mask` [B, ≥ T] is 0 at padding, on any side: such tokens are left out, as if they were not there, and their outputs
        are 0. `cu_seqlens` int32 [N+1] are the borders of sequences packed into one row. With `past_key_values` the sequences go on
        where the cache of this layer ends; with `use_cache` a new mapping, in which that cache is replaced, is returned: nothing is
        changed in place. Raises ValueError that names the argument for what has no meaning.
        """
        past = None if past_key_values is None else past_key_values.get(self.cache_key())
        if attention_mask is None or bool(attention_mask[:, -hidden_states.shape[1] :].all()):
            o, cache = self._run(hidden_states, past, use_cache, cu_seqlens)
        elif cu_seqlens is not None:
            raise ValueError("attention_mask: expected no padding in sequences that cu_seqlens packs")
        else:
            places, borders = unpadded(attention_mask, hidden_states)
            x = hidden_states.flatten(0, 1)[places]
            o, cache = self._run(x[None], past, use_cache, borders)
            o = o.new_zeros(hidden_states.shape[:2].numel(), o.shape[-1]).index_copy(0, places, o[0]).reshape(*hidden_states.shape[:2], -1)
        if cache is not None:
            past_key_values = {**(past_key_values or {}), self.cache_key(): cache}
        return o, None, past_key_values

    def _run(self, x: Tensor, past: LayerCache | None, use_cache: bool, cu_seqlens: Tensor | None) -> tuple[Tensor, LayerCache | None]:
        if past is None:
            past = LayerCache(self.initial_state(len(x) if cu_seqlens is None else len(cu_seqlens) - 1), {})
        o, cache = self.mix(x, past, use_cache, cu_seqlens)
        return o, cache if use_cache else None

    def cache_key(self) -> int:
        """The layer's number in its network."""
        if self.layer_idx is None:
            raise ValueError("layer_idx: expected the layer's number, by which the cache is keyed, got None")
        return self.layer_idx
