"""Names that the code of a kernel has for other things than tiles."""

from __future__ import annotations

from miras_compiler.emit.triton.device_functions import device_functions
from miras_compiler.emit.triton.memory import ZERO

RESERVED = {
    "n", "h", "i", "r", "t", "b", "row", "at_row", "here", "first", "end", "base", "tiles", "slot", "step", "head", "index", "own", "given",
    "lane", "causal", "strict", "low", "high", "begin", "stop", ZERO, "PTX", "T", "H", "C", "BC", "DOT", "GRID", "PACKED", "SAVE", "SHARED",
    "LEVELS", "members", "tl", "triton", "gelu", "silu", "gelu_tanh", *device_functions(),
}  # fmt: skip
