"""The Triton backend: schedules and walks as kernels."""

from __future__ import annotations

from miras_compiler.emit.backend import Scheduled
from miras_compiler.emit.triton.kernels import emit_kernels
from miras_compiler.emit.triton.walk_file import emit_walk


def emit_triton(given: Scheduled) -> dict[str, str]:
    """kernels.py; decode.py, where kernels run over tiles of tokens and a walk serves few of them."""
    walk = emit_walk(given.rule, given.walk, given.interface, None if given.schedule else given.why_no_tiles)
    if not given.schedule:
        return {"kernels.py": walk}
    return {"kernels.py": emit_kernels(given.rule, given.schedule, given.interface), "decode.py": walk}
