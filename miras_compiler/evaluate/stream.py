"""A language model reads a long text as one sequence, segment by segment: its state goes from one to the next in its cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from miras_compiler.errors import InputError
from miras_compiler.evaluate.losses import MOST_LOGITS, SEGMENT, cache_of, logits_at
from miras_compiler.evaluate.text import ByPosition, perplexity


def stream_text(
    model: Any,
    tokens: Sequence[int] | NDArray[Any],
    bytes_per_token: float,
    say: Callable[[str], None] = lambda _: None,
    segment: int = SEGMENT,
) -> dict[str, Any]:
    """Scores of one sequence of all tokens: `bits_per_byte`, `perplexity_by_position`, and the bytes of the cache, first and last.

    InputError for a model whose cache grows with every token.
    """
    if "attention" in model.model.pattern:
        raise InputError("a block attends to all tokens, so its cache grows with every token; stream a model of memories and windows")
    sums, sizes, position = ByPosition(), [], 1
    segment = min(segment, MOST_LOGITS // model.config.vocab_size)
    device = next(model.parameters()).device
    for losses, size in segments(model, torch.as_tensor(tokens, dtype=torch.int64), segment, device):
        if losses.numel():
            sums.add(losses[None].double().cpu().numpy(), position)
        position += losses.numel()
        sizes.append(size)
        say(f"{position:,} of {len(tokens):,} tokens, a cache of {size:,} bytes")
    return {
        "bits_per_byte": sums.mean() / math.log(2) / bytes_per_token,
        "perplexity": perplexity(sums.mean()),
        "tokens": len(tokens),
        "segment": segment,
        "cache_bytes": sizes[-1],
        "largest_cache_bytes": max(sizes),
        "perplexity_by_position": sums.perplexities(),
    }


@torch.no_grad()
def segments(model: Any, tokens: Tensor, length: int, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """The losses of the tokens of each segment, each predicted from all tokens before it (not the first of all), and the cache's bytes."""
    cache, last = None, None
    for part in torch.split(tokens, length):
        own = part.to(device)
        output = model.model(own[None], cache=cache, use_cache=True)
        cache = cache_of(output)
        hidden = output.last_hidden_state[0]
        before = hidden[:-1] if last is None else torch.cat((last, hidden[:-1]))
        last = hidden[-1:]
        yield functional.cross_entropy(logits_at(model, before), own[len(own) - len(before) :], reduction="none"), cache_bytes(cache)


def cache_bytes(cache: Any) -> int:
    """Bytes of all tensors of a cache."""
    from torch.utils import _pytree as pytree

    leaves = pytree.tree_leaves([layer.state for layer in cache.layers])
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, Tensor))
