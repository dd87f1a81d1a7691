"""The loss of a language model at every token, and of the tokens that are asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

MOST_LOGITS = 2**25  # numbers that are computed at a time


def rows_at_once(model: Any, length: int) -> int:
    """The number of sequences of a length that are read at a time."""
    widest = max(int(model.config.vocab_size), int(model.config.hidden_size))
    return max(1, MOST_LOGITS // (length * widest))


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
    hidden = model.model(tokens[:, :-1], use_cache=False).last_hidden_state
    return logits_at(model, hidden[asked[:, 1:]]).argmax(-1)
