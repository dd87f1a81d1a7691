"""layer.py: the memory as a layer of a network, from hidden states to hidden states."""

from __future__ import annotations

from miras_compiler.emit.backend import Derived
from miras_compiler.emit.layer.layer import emit_layer

__all__ = ["emit_layer", "emit_layer_file"]


def emit_layer_file(given: Derived) -> dict[str, str]:
    """layer.py."""
    return {"layer.py": emit_layer(given.rule, given.interface)}
