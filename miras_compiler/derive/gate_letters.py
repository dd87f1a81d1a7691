"""The letters that people write for gates."""

from __future__ import annotations

import re

from miras_compiler.derive.dialects import GREEK
from miras_compiler.spec.gates import GATE_LETTERS

TAKEN = re.compile(  # letters, words and functions of pages; an index of tokens behind a name
    r"[A-Za-z]|[A-Za-z]+_[a-z0-9]|mean|softmax|log_softmax|soft|surprise|valid|owner|earlier|relu|gelu|gelu_tanh|silu|NS"
)


def gate_letters(gate: str) -> str:
    """ "α", "α_d"; of a user's own that would read as something else of the page, "f_gate"."""
    return _written(f"{gate}_gate" if gate not in GATE_LETTERS and TAKEN.fullmatch(gate) else gate)


def leaf_letters(leaf: str) -> str:
    """Of an input of a program: an underscore ends the name of a user's own gate, and nothing else."""
    return gate_letters(leaf.rstrip("_")) if leaf.endswith("_") else _written(leaf)


def _written(name: str) -> str:
    base, _, index = name.partition("_")
    return (GREEK[base] + (f"_{index}" if index else "")) if base in GREEK else name
