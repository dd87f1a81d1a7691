"""The loss of a language model at every token, and of the tokens that are asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

MOST_LOGITS = 2**25  # numbers that are computed at a time
SEGMENT = 4096  # tokens of a long sequence that are read at a time, where their logits do not take too much room


def rows_at_once(model: Any, length: int) -> int:
    """The number of sequences of a length that are read at a time."""
    widest = max(int(model.config.vocab_size), int(model.config.hidden_size))
    return max(1, MOST_LOGITS // ((SEGMENT if is_streamed(model, length) else length) * widest))


def is_streamed(model: Any, length: int) -> bool:
    """True for sequences that are read segment by segment: long ones, by a model whose cache does not grow."""
    return length > SEGMENT and "attention" not in model.model.pattern


def logits_at(model: Any, hidden: Tensor) -> Tensor:
    """Logits [N, vocabulary] in float32 or more of hidden states [N, hidden]."""
    logits: Tensor = model.lm_head(hidden)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def next_token_losses(model: Any, tokens: Tensor) -> Tensor:
    """Nats of each token but the first, [B, T − 1], for tokens [B, T]; every row begins with nothing."""
    hidden = model.model(tokens[:, :-1], use_cache=False).last_hidden_state
    logits = logits_at(model, hidden.flatten(0, 1))
    return functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none").reshape(len(tokens), -1)


@torch.no_grad()
def answers_at(model: Any, tokens: Tensor, asked: Tensor) -> Tensor:
    """The likeliest tokens [N] in the places where `asked` [B, T] is True, each from the tokens before it."""
    read, asked = tokens[:, :-1], asked[:, 1:]
    if not is_streamed(model, tokens.shape[1]):
        return logits_at(model, model.model(read, use_cache=False).last_hidden_state[asked]).argmax(-1)
    answers, cache = torch.zeros_like(read), None
    for own, part, places in zip(*(torch.split(x, SEGMENT, 1) for x in (answers, read, asked)), strict=True):
        output = model.model(part, cache=cache, use_cache=True)
        cache = cache_of(output)
        own[places] = logits_at(model, output.last_hidden_state[places]).argmax(-1)
    return answers[asked]


def cache_of(output: Any) -> Any:
    """The cache in an output of a model, under the name that transformers has for it since 5.24 or before."""
    return output["cache"] if "cache" in output else output["past_key_values"]
