"""The Triton backend: schedules and walks as kernels."""

from __future__ import annotations

from miras_compiler.emit.backend import Scheduled
from miras_compiler.emit.triton.kernels import emit_kernels
from miras_compiler.emit.triton.walk_file import emit_walk


def emit_triton(given: Scheduled) -> dict[str, str]:
    """kernels.py; decode.py, where kernels run over tiles of tokens and a walk serves few of them; starts.py, where chunks walk at once."""
    walk = emit_walk(given.rule, given.walk, given.interface, None if given.schedule else given.why_no_tiles, given.starts is not None)
    if not given.schedule:
        starts = {"starts.py": emit_kernels(given.rule, given.starts, given.interface)} if given.starts else {}
        return {"kernels.py": walk} | starts
    return {"kernels.py": emit_kernels(given.rule, given.schedule, given.interface), "decode.py": walk}
