"""The PyTorch backend: the rule as a loop over tokens, and its parallel form."""

from __future__ import annotations

from miras_compiler.emit.backend import Derived
from miras_compiler.emit.torch.chunked import emit_chunked
from miras_compiler.emit.torch.recurrent import emit_recurrent


def emit_torch(given: Derived) -> dict[str, str]:
    """recurrent.py and chunked.py."""
    return {
        "recurrent.py": emit_recurrent(given.rule, given.interface),
        "chunked.py": emit_chunked(given.rule, given.form, given.program, given.interface),
    }
