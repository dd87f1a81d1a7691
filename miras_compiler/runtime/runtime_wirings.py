"""Titans' three wirings of memory and attention (arXiv 2501.00663, section 4), as the mixers of blocks.

Each owns persistent tokens p, learned numbers that stand before the sequence or before each segment.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_attention import AttentionCache, CausalAttention, turned
from .runtime_blocks import RMSNorm, mix
from .runtime_cache import LayerCache
from .runtime_layer import TokenMixer
from .runtime_sequences import Inside, Sequences

Weights = dict[str, Tensor]


class Gated(nn.Module):
    """norm(y) ⊗ σ(norm(m)): how the outputs of attention and memory meet."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.y_norm, self.m_norm = RMSNorm(hidden_size), RMSNorm(hidden_size)

    def forward(self, y: Tensor, m: Tensor) -> Tensor:
        out: Tensor = self.y_norm(y) * torch.sigmoid(self.m_norm(m))
        return out


class Wiring(nn.Module):
    """A memory, attention and persistent tokens."""

    def __init__(self, memory: TokenMixer, attention: CausalAttention, hidden_size: int, persistent: int) -> None:
        super().__init__()
        self.memory, self.attention = memory, attention
        self.persistent = nn.Parameter(torch.empty(persistent, hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal numbers, as embeddings are."""
        nn.init.normal_(self.persistent, std=0.02)


class MemoryAsGate(Wiring):
    """MAG, eq. 26–28: attention over a window and the persistent tokens, gated by the memory of the whole sequence."""

    def __init__(self, memory: TokenMixer, attention: CausalAttention, hidden_size: int, persistent: int) -> None:
        super().__init__(memory, attention, hidden_size, persistent)
        self.gated = Gated(hidden_size)

    def forward(self, x: Tensor, state: Any, sequences: Sequences, keep: bool) -> tuple[Tensor, Any]:
        of_memory, of_attention = (None, None) if state is None else state
        x = sequences.with_prefix(x, self.persistent)
        m, of_memory = mix(self.memory, x, of_memory, sequences, keep)
        y, of_attention = self.attention(x, of_attention, sequences, keep, self.persistent)
        return self.gated(y, m), (of_memory, of_attention)


class MemoryAsLayer(Wiring):
    """MAL, eq. 29–31: attention over a window of the memory's outputs."""

    def forward(self, x: Tensor, state: Any, sequences: Sequences, keep: bool) -> tuple[Tensor, Any]:
        of_memory, of_attention = (None, None) if state is None else state
        m, of_memory = mix(self.memory, sequences.with_prefix(x, self.persistent), of_memory, sequences, keep)
        y, of_attention = self.attention(m, of_attention, sequences, keep)
        return y, (of_memory, of_attention)


class ContextState(NamedTuple):
    """The state of MAC behind some tokens: the memory, the weights that entered the segment, its keys and values, and the tokens seen."""

    memory: LayerCache
    start: Weights
    history: AttentionCache  # [N, segment, H, D], by place in the segment
    segment: AttentionCache


class MemoryAsContext(Wiring):
    """MAC, eq. 21–25: each segment attends to persistent tokens, to the memory's earlier reads for it, and to itself.

    h = M(S), the memory as it enters the segment; y = attention(p, h, S); y is written into the memory; y ⊗ M(y). A token sees the
    history of no later token.
    """

    def __init__(self, memory: TokenMixer, attention: CausalAttention, hidden_size: int, segment: int, persistent: int) -> None:
        super().__init__(memory, attention, hidden_size, persistent)
        self.length = segment
        self.gated = Gated(hidden_size)

    def forward(self, x: Tensor, state: ContextState | None, sequences: Sequences, keep: bool) -> tuple[Tensor, ContextState | None]:
        x = sequences.batch(x)
        rows, tokens = x.shape[:2]
        lengths = torch.full((rows,), tokens, device=x.device) if sequences.lengths is None else sequences.lengths
        seen = torch.zeros_like(lengths) if state is None else state.segment.seen
        shift = seen % self.length if tokens > 1 else torch.zeros_like(seen)  # columns before the first token, so that pieces are segments
        columns = tokens if state is None or tokens == 1 else tokens + self.length - 1
        if sequences.cu_seqlens is not None and tokens > 1:
            columns = -(-columns // self.length) * self.length  # the segments of a row are as wide as those of its neighbours
        pieces = []
        for first in range(0, columns, self.length):
            index = torch.arange(first, min(first + self.length, columns), device=x.device) - shift[:, None]
            there = (index >= 0) & (index < lengths[:, None])
            piece = x.gather(1, index.clamp(0, tokens - 1)[..., None].expand(-1, -1, x.shape[2]))
            o, state = self.piece(torch.where(there[..., None], piece, 0.0), state, (seen[:, None] + index) % self.length, there)
            pieces.append(o)
        column = shift[:, None] + torch.arange(tokens, device=x.device)
        o = torch.cat(pieces, 1).gather(1, column[..., None].expand(-1, -1, x.shape[2]))
        if state is not None:
            state = state._replace(segment=state.segment._replace(seen=seen + lengths))
        return sequences.unbatch(o), state if keep else None

    def piece(self, x: Tensor, state: ContextState | None, place: Tensor, there: Tensor) -> tuple[Tensor, ContextState]:
        """Tokens x [N, w, D] of one segment, at places [N, w] in it; some are not there."""
        memory: Any = self.memory
        if state is None:
            rows = x.shape[0]
            h, start = memory.read(x, memory.initial_state(rows))
            past = LayerCache(memory.initial_state(rows), {})
            shape = (rows, self.length, self.attention.heads, x.shape[2] // self.attention.heads)
            empty = AttentionCache(x.new_zeros(shape), x.new_zeros(shape), place.new_zeros(rows))
            history = segment = empty
        else:
            past, history, segment = state.memory, state.history, state.segment
            begins = ((place == 0) & there).any(1)
            entering: Weights = past.recurrent_state or {}
            start = {
                name: torch.where(begins.reshape(-1, *[1] * (weight.dim() - 1)), entering[name], weight)
                for name, weight in state.start.items()
            }
            h, _ = memory.read(x, start)
        before = len(self.persistent)
        history = self.put(history, h, before + place, place, there)
        segment = self.put(segment, x, before + self.length + place, place, there)
        y = self.attend(x, history, segment, place)
        inside = Inside(y, there, None, 0)
        m, past = mix(self.memory, inside.x, past, inside.sequences(fresh=state is None, side_by_side=False), True)
        return self.gated(y, inside.outside(m)), ContextState(past, start, history, segment)

    def put(self, cache: AttentionCache, x: Tensor, position: Tensor, place: Tensor, there: Tensor) -> AttentionCache:
        """The cache with the keys and values of x at their places."""
        own, theta = self.attention, self.attention.rope_theta
        k, v = turned(own.split(own.k_proj(x)), position, theta), own.split(own.v_proj(x))
        target = torch.where(there, place, self.length)[:, :, None, None].expand_as(k)  # one place more, for tokens that are not there
        k, v = (functional.pad(old, (0, 0, 0, 0, 0, 1)).scatter(1, target, new) for old, new in ((cache.k, k), (cache.v, v)))
        return cache._replace(k=k[:, : self.length], v=v[:, : self.length])

    def attend(self, x: Tensor, history: AttentionCache, segment: AttentionCache, place: Tensor) -> Tensor:
        """Attention of x to persistent tokens, and to history and segment up to its own places."""
        own, theta, before = self.attention, self.attention.rope_theta, len(self.persistent)
        p = self.persistent.to(x.dtype)[None]
        first = torch.arange(before, device=x.device)[None]
        k, v = turned(own.split(own.k_proj(p)), first, theta), own.split(own.v_proj(p))
        q = turned(own.split(own.q_proj(x)), before + self.length + place, theta)
        keys = torch.cat((k.expand(x.shape[0], -1, -1, -1), history.k, segment.k), 1)
        values = torch.cat((v.expand(x.shape[0], -1, -1, -1), history.v, segment.v), 1)
        seen = torch.arange(self.length, device=x.device) <= place[..., None]
        mask = torch.cat((seen.new_ones(*place.shape, before), seen, seen), -1)[:, None]
        o = functional.scaled_dot_product_attention(q.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=mask)
        y: Tensor = own.o_proj(o.transpose(1, 2).flatten(2))
        return y
