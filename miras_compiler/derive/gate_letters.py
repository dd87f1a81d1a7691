"""The letters that people write for gates."""

from __future__ import annotations

from miras_compiler.derive.dialects import GREEK


def gate_letters(gate: str) -> str:
    """ "α", "α_d"."""
    base, _, index = gate.partition("_")
    return (GREEK.get(base, base) + (f"_{index}" if index else "")) if base in GREEK else gate
