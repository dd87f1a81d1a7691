"""A language model goes on with a text, token by token; the text comes as it is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from miras_compiler.evaluate.losses import logits_at


@torch.no_grad()
def drawn(model: Any, prompt: Sequence[int], count: int, temperature: float, seed: int) -> Iterator[int]:
    """At most `count` tokens behind the prompt, which is not empty, until one ends the text; temperature 0 takes the likeliest."""
    device = next(model.parameters()).device
    random = torch.Generator().manual_seed(seed)
    ends = model.config.eos_token_id
    ends = set() if ends is None else set(ends if isinstance(ends, list) else [ends])
    cache, own = None, list(prompt)
    for _ in range(count):
        output = model.model(torch.tensor([own], device=device), cache=cache, use_cache=True)
        cache = output["cache"] if "cache" in output else output["past_key_values"]
        token = choice(logits_at(model, output.last_hidden_state[:, -1])[0].cpu(), temperature, random)
        if token in ends:
            return
        yield token
        own = [token]


def choice(logits: Tensor, temperature: float, random: torch.Generator) -> int:
    """A token by its logits [vocabulary]."""
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial((logits.double() / temperature).softmax(-1), 1, generator=random))
