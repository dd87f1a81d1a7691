"""layer.py: the memory as a layer of a network, from hidden states to hidden states."""

from __future__ import annotations

from miras_compiler.emit.layer.layer import emit_layer
from miras_compiler.emit.layer.names import bracketed, import_line, layer_class

__all__ = ["bracketed", "emit_layer", "import_line", "layer_class"]
