"""Softmax attention with rotary positions, over all tokens before or a sliding window of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .runtime_norms import wide
from .runtime_sequences import Sequences


class AttentionCache(NamedTuple):
    """Keys and values of the last S tokens of every sequence, at the right; those before its first are no tokens."""

    k: Tensor  # [N, S, H, D], turned by their positions
    v: Tensor  # [N, S, H, D]
    seen: Tensor  # int64 [N]: all tokens of the sequence


class CausalAttention(nn.Module):
    """Causal attention. `window`: a token sees so many, itself among them; None is all before it.

    `prefix`: the first so many tokens of a sequence are persistent, and every token sees them, whatever the window.
    """

    def __init__(self, hidden_size: int, heads: int, rope_theta: float, window: int | None, prefix: int = 0) -> None:
        super().__init__()
        self.heads, self.rope_theta, self.window, self.prefix = heads, rope_theta, window, prefix
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(
        self, x: Tensor, state: AttentionCache | None, sequences: Sequences, keep: bool, persistent: Tensor | None = None
    ) -> tuple[Tensor, AttentionCache | None]:
        """The outputs for x, and the cache behind it where it is to be kept."""
        q, k, v = (self.split(sequences.batch(project(x))) for project in (self.q_proj, self.k_proj, self.v_proj))
        seen = x.new_zeros(q.shape[0], dtype=torch.int64) if state is None else state.seen
        position = seen[:, None] + torch.arange(q.shape[1], device=x.device)
        q, k = turned(q, position, self.rope_theta), turned(k, position, self.rope_theta)
        past = 0 if state is None else state.k.shape[1]
        line_k, line_v = (k, v) if state is None else (torch.cat((state.k, k), 1), torch.cat((state.v, v), 1))
        first = None
        if persistent is not None and self.prefix:
            p = persistent.to(x.dtype)[None]
            place = torch.arange(self.prefix, device=x.device)[None]
            first = turned(self.split(self.k_proj(p)), place, self.rope_theta), self.split(self.v_proj(p))
        o = self.attend(q, line_k, line_v, past, None if state is None else seen, first)
        y = self.o_proj(sequences.unbatch(o.flatten(2)))
        if not keep:
            return y, None
        kept = line_k.shape[1] if self.window is None else min(line_k.shape[1], self.window - 1)
        lengths = torch.full_like(seen, q.shape[1]) if sequences.lengths is None else sequences.lengths
        return y, AttentionCache(last(line_k, past + lengths, kept), last(line_v, past + lengths, kept), seen + lengths)

    def split(self, x: Tensor) -> Tensor:
        """[..., hidden] as [..., H, D]."""
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, past: int, seen: Tensor | None, first: tuple[Tensor, Tensor] | None) -> Tensor:
        """q [N, T, H, D] over k, v [N, past + T, H, D], in blocks of queries no longer than the window; `first` are seen by all."""
        count, length = q.shape[:2]
        size = length if self.window is None else max(1, min(self.window, length))
        blocks = -(-length // size) if length else 0
        if blocks == 0:
            return q
        if seen is None and first is None and blocks == 1:
            o = functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
            return o.transpose(1, 2)
        width = past if self.window is None or blocks == 1 else self.window - 1
        behind = blocks * size - length
        q = functional.pad(q, (0, 0, 0, 0, 0, behind)).reshape(count * blocks, size, *q.shape[2:])
        k, v = (self.blocks(x, width - past, behind, width + size, size) for x in (k, v))
        seeing = self.mask(q, count, blocks, size, width, seen, 0 if first is None else self.prefix)
        if first is not None:
            k, v = (torch.cat((own.expand(x.shape[0], -1, -1, -1), x), 1) for own, x in zip(first, (k, v), strict=True))
            seeing = functional.pad(seeing, (self.prefix, 0), value=True)
        o = functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=seeing[:, None])
        return o.transpose(1, 2).reshape(count, blocks * size, *q.shape[2:])[:, :length]

    @staticmethod
    def blocks(x: Tensor, before: int, behind: int, size: int, step: int) -> Tensor:
        """The keys that each block of queries may see: [N, S, H, D] as [N · blocks, size, H, D]."""
        x = functional.pad(x, (0, 0, 0, 0, before, behind))
        return x.unfold(1, size, step).movedim(-1, 2).flatten(0, 1)

    def mask(self, q: Tensor, count: int, blocks: int, size: int, width: int, seen: Tensor | None, prefix: int) -> Tensor:
        """The keys of its block that a query sees: [N · blocks, size, width + size]."""
        query = torch.arange(size, device=q.device)[:, None]
        key = torch.arange(width + size, device=q.device) - width
        seeing = key <= query
        if self.window is not None:
            seeing = seeing & (query - key < self.window)
        place = size * torch.arange(blocks, device=q.device)[:, None] + key
        start = torch.zeros(count, 1, 1, dtype=torch.int64, device=q.device) if seen is None else seen[:, None, None]
        there = start + place >= prefix  # [N, blocks, keys]
        own = query == key  # a persistent token, and a token of padding, sees at least itself
        return ((seeing & there[:, :, None]) | own).flatten(0, 1)


def turned(x: Tensor, position: Tensor, base: float) -> Tensor:
    """x [N, T, H, D] with each pair of channels (i, i + D/2) turned by an angle of position · base^(−2i/D); position [N, T]."""
    half = x.shape[-1] // 2
    rate = base ** (-torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = (position[..., None] * rate)[:, :, None]
    y = wide(x)
    cos, sin = angle.cos().to(y.dtype), angle.sin().to(y.dtype)
    a, b = y.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


def last(line: Tensor, end: Tensor, kept: int) -> Tensor:
    """The last `kept` entries before `end` [N] of line [N, S, ...]; any where there are fewer."""
    index = (end[:, None] + torch.arange(-kept, 0, device=line.device)).clamp(min=0)
    return line.gather(1, index[:, :, None, None].expand(-1, -1, *line.shape[2:]))
