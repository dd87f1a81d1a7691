"""The tile of the PyTorch form: how many tokens it computes at once when it is not told."""

from __future__ import annotations

from miras_compiler.analysis.parallel_form import Kind
from miras_compiler.derive.leaves import gate_axes, window_of
from miras_compiler.elements.memory import VectorMemory
from miras_compiler.ir.nodes import Program
from miras_compiler.ir.traverse import leaves_of
from miras_compiler.spec import Spec

SMALL_TILE = 16  # where something exists for every token, or every pair of them, and every channel
TILE = 64


def has_own_rows(program: Program) -> bool:
    """Whether every token of a tile has the rows of its window for itself."""
    return any(leaf.name == "owner" for leaf in leaves_of(program))


def default_tile(spec: Spec, kind: Kind, own_rows: bool) -> int:
    """Tokens (with several writes per token, rows) of a tile; where each has rows of its own, as many as have so many rows."""
    by_channel = any(gate_axes(spec, gate) for gate in ("alpha", "alpha_value")) or isinstance(spec.memory, VectorMemory)
    tile = SMALL_TILE if kind == "dual_per_token" or by_channel else TILE
    tile = max(tile // window_of(spec), 1) if own_rows else tile
    return min(tile, spec.chunk.size) if spec.frozen_gradient else tile
