"""The cache of a model: the state of every block, and how many tokens it has seen. A kind of cache that transformers' `generate` knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from torch import Tensor
from torch.utils import _pytree as pytree

from .runtime_transformers import Cache, CacheLayerMixin

NO_CROP = (
    "a recurrent memory cannot forget its last tokens: crop, assisted decoding and prompt lookup need a cache of keys and values; "
    "keep a copy of the cache (copy.deepcopy), or start from the whole prompt"
)


class MemoryCacheLayer(CacheLayerMixin):
    """The state of one block, a tree of tensors [N, ...] with one row per sequence, and the number of columns it was made of."""

    is_compileable = False
    is_croppable = False
    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None
        self.tokens = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryCacheLayer:
        """A copy with tensors of its own, which gradients flow through."""
        own = type(self)()
        own.state, own.tokens = self.state, self.tokens
        own.change(Tensor.clone)
        return own

    def change(self, function: Callable[[Tensor], Tensor]) -> None:
        """Replaces every tensor."""
        self.state = pytree.tree_map(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, self.state)

    def get_seq_length(self, *_: Any) -> int:
        """The tokens that the block has seen, padding among them."""
        return self.tokens

    def get_max_length(self) -> int:
        """There is none."""
        return -1

    get_max_cache_shape = get_max_length  # its name before transformers 5.20

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Length and offset of the columns that a mask would have."""
        length = query_length if isinstance(query_length, int) else len(query_length)
        return self.tokens + length, 0

    def reset(self) -> None:
        """Back to the start."""
        self.state, self.tokens = None, 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rows in the order of the beams."""
        self.change(lambda x: x.index_select(0, beam_idx.to(x.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row so many times."""
        self.change(lambda x: x.repeat_interleave(repeats, 0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Some rows."""
        self.change(lambda x: x[indices.to(x.device)])

    def offload(self) -> None:
        """States stay where they are: they are small."""

    prefetch = offload

    def lazy_initialization(self, *_: Any) -> None:
        """There is nothing to prepare."""

    def update(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError("the cache of a memory holds no keys and values; pass it to the model that made it")

    def crop(self, *_: Any) -> NoReturn:
        raise ValueError(NO_CROP)


class MemoryCache(Cache):
    """The states of all blocks of one model; `digest` is that of its spec."""

    layers: list[MemoryCacheLayer]

    def __init__(self, blocks: int, digest: str) -> None:
        super().__init__(layers=[MemoryCacheLayer() for _ in range(blocks)])
        self.digest = digest

    is_compileable = False
    is_croppable = False

    @property
    def is_linear(self) -> list[bool]:
        """No block counts as linear attention in transformers: its caches do not know their length."""
        return [False] * len(self.layers)

    def get_seq_length(self, *_: Any) -> int:
        """The tokens seen, padding among them."""
        return self.layers[0].tokens

    def states(self) -> list[Any]:
        """Those of the blocks, in their order."""
        return [layer.state for layer in self.layers]

    def crop(self, *_: Any) -> NoReturn:
        raise ValueError(NO_CROP)


def rows_of(states: Sequence[Any]) -> int | None:
    """The number of sequences that states of blocks are of; None before the first token."""
    leaves = [leaf for leaf in pytree.tree_leaves(states) if isinstance(leaf, Tensor)]
    return leaves[0].shape[0] if leaves else None


def read_cache(cache: object, old_name: object, blocks: int, digest: str) -> MemoryCache | None:
    """The cache that is given, under the name that transformers has for it since 5.24 or before; ValueError for any other."""
    if cache is not None and old_name is not None and cache is not old_name:
        raise ValueError("past_key_values: the older name of cache; give one of them")
    given = old_name if cache is None else cache
    if given is None:
        return None
    if not isinstance(given, MemoryCache):
        got = type(given).__name__
        raise ValueError(f"cache: expected the cache that this model returned, or None, got {got}, which cannot hold the state of a memory")
    if given.digest != digest or len(given.layers) != blocks:
        raise ValueError(f"cache: expected one of {blocks} blocks of the spec {digest}, got one of another model")
    return given
