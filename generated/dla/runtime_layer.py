"""The forward pass that all layers share: hidden states, padding, and the cache.

A layer of a package is a `TokenMixer` that defines the map from hidden states to hidden states: its `mix`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .runtime_borders import check_offsets
from .runtime_cache import LayerCache, read_cache
from .runtime_padding import before_border, packing
from .runtime_precision import autocast_type
from .runtime_tensor import described, is_dense


class TokenMixer(nn.Module):
    """A layer over sequences; `layer_idx` is its number in its network, by which caches are keyed."""

    o_proj: nn.Linear

    def __init__(self, layer_idx: int | None) -> None:
        super().__init__()
        self.layer_idx = layer_idx
        self.lags: dict[str, int] = {}  # rows of which the cache holds the last, by name, and their numbers

    def mix(self, x: Tensor, past: LayerCache, use_cache: bool, cu_seqlens: Tensor | None, longest: int) -> tuple[Tensor, LayerCache]:
        """The outputs for x [B, T, hidden], and the cache behind it; without a state where it is not wanted.

        No sequence has more than `longest` tokens.
        """
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
        """The outputs [B, T, hidden], no attention weights, and the caches of all layers.

        `attention_mask` [B, ≥ T] is 1 at tokens and 0 at padding, on any side, its last T columns count: padding is left out, as if it were
        not there, and its outputs are 0. `cu_seqlens` int32 [N+1] are the borders of sequences packed into one row; tokens behind
        the last border are padding, too. With `past_key_values` the sequences go on where the cache of this layer ends; with `use_cache` a
        new mapping, in which that cache is replaced, is returned: nothing is changed in place, and a row without tokens keeps its cache.
        Raises ValueError, which names the argument, for a value without a meaning.
        """
        self._check_hidden(hidden_states)
        padded = None if attention_mask is None else packing(attention_mask, hidden_states)
        if cu_seqlens is not None and padded is not None:
            raise ValueError("attention_mask: expected no padding in sequences that cu_seqlens packs")
        borders = cu_seqlens if padded is None else padded.cu_seqlens
        x = hidden_states if padded is None else padded.pack(hidden_states)
        if cu_seqlens is not None:
            check_offsets(cu_seqlens, {"B": x.shape[0], "T": x.shape[1]}, x.device)
            x = before_border(x, cu_seqlens)
        past = self._past(past_key_values, x, borders)
        try:
            o, cache = self.mix(x, past, use_cache, borders, hidden_states.shape[1])
        except ValueError as problem:
            raise ValueError(str(problem).replace("initial_state", self._state_name(past_key_values), 1)) from None
        if use_cache:
            past_key_values = {**(past_key_values or {}), self.cache_key(): cache}
        if padded is not None:
            o = padded.unpack(o)
        elif cu_seqlens is not None:
            o = before_border(o, cu_seqlens)
        return o, None, past_key_values

    def _check_hidden(self, x: Tensor) -> None:
        width, dtype = self.o_proj.weight.shape[0], self.o_proj.weight.dtype
        if isinstance(x, Tensor) and not is_dense(x):
            raise ValueError(f"hidden_states: expected a dense tensor, got {described(x)}")
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() != 3 or x.shape[0] == 0 or x.shape[2] != width:
            raise ValueError(
                f"hidden_states: expected floating-point numbers of shape [B, T, {width}] with B of at least 1, got {described(x)}"
            )
        if x.dtype != dtype and dtype.is_floating_point and autocast_type(x.device) is None:
            raise ValueError(f"hidden_states: expected {dtype}, as the layer's weights are, got {x.dtype}")

    def _past(self, past_key_values: Mapping[int, LayerCache] | None, x: Tensor, cu_seqlens: Tensor | None) -> LayerCache:
        """The cache of this layer, or one with the start of every sequence."""
        sequences = x.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
        if past_key_values is not None:
            weights = {name: weight for name, weight in self.named_parameters() if name.endswith("_conv1d.weight")}
            tails = {name.removesuffix("_conv1d.weight"): (len(weight) - 1, weight.shape[1]) for name, weight in weights.items()}
            tails |= {name: (1, channels) for name, channels in self.lags.items()}
            past = read_cache(past_key_values, self.cache_key(), sequences, tails)
            if past is not None:
                return past
        return LayerCache(self.initial_state(sequences), {})

    def _state_name(self, past_key_values: Mapping[int, LayerCache] | None) -> str:
        """The name by which the layer's caller knows the operator's `initial_state`."""
        given = past_key_values is not None and self.cache_key() in past_key_values
        return f"past_key_values[{self.layer_idx}].recurrent_state" if given else "initial_state"

    def cache_key(self) -> int:
        """The layer's number in its network."""
        if self.layer_idx is None:
            raise ValueError("layer_idx: expected the layer's number, by which the cache is keyed, got None")
        return self.layer_idx
