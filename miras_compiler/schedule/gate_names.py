"""The names of gates within kernels: those of a user never meet the names of tiles, buffers and functions."""

from __future__ import annotations

from miras_compiler.spec import Spec
from miras_compiler.spec.gates import GATE_LETTERS

PREFIX = "gate_"  # begins no name of a kernel's own


def kernel_names(spec: Spec) -> dict[str, str]:
    """The names within kernels of the gates that have no fixed meaning; all others keep theirs."""
    return {name: f"{PREFIX}{name}" for name in spec.gates if name not in GATE_LETTERS}
