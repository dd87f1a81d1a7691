"""The part of an axis that one GPU program of a kernel holds at once."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.emit.triton.stages import HIDDEN, can_be_staged
from miras_compiler.schedule.kernel import Kernel
from miras_compiler.schedule.separable import is_separable
from miras_compiler.schedule.tile import BLOCK


def blocks_of(kernel: Kernel, lengths: Mapping[str, int]) -> dict[str, int]:
    """The block of each axis that is longer than one: split over programs, or taken by one program block after block."""
    split = split_axis(kernel)
    blocked = [split] if split else [HIDDEN] if can_be_staged(kernel.program) else []
    return {axis: BLOCK for axis in blocked if lengths[axis] > BLOCK}


def split_axis(kernel: Kernel) -> str:
    """The axis of a walk that programs may share out: nothing sums over it, and every output has it."""
    if kernel.walk == "each":
        return ""
    return next((axis for axis in ("v", "n") if is_separable(kernel.program, axis)), "")
