"""The part of an axis that one GPU program of a kernel holds at once."""

from __future__ import annotations

from collections.abc import Mapping

from miras_compiler.emit.triton.stages import HIDDEN, VALUES, staged_axis
from miras_compiler.schedule.kernel import Kernel
from miras_compiler.schedule.separable import is_separable
from miras_compiler.schedule.tile import BLOCK


def blocks_of(kernel: Kernel, lengths: Mapping[str, int]) -> dict[str, int]:
    """The block of each axis that is longer than one: split over programs, or taken by one program block after block."""
    axis = split_axis(kernel) or blocked_axis(kernel)
    return {axis: BLOCK} if axis and lengths[axis] > BLOCK else {}


def split_axis(kernel: Kernel) -> str:
    """The axis that programs may share out: nothing sums over it, and every output has it; "" for none.

    That of features first; the hidden width only of a walk, of which there are few programs.
    """
    axes = (kernel.wide, VALUES) if kernel.walk == "each" else (kernel.wide, VALUES, HIDDEN)
    return next((axis for axis in axes if axis and is_separable(kernel.program, axis)), "")


def blocked_axis(kernel: Kernel) -> str:
    """The axis that one program may take block after block, "" for none.

    A walk takes the hidden width alone so: it carries a state of key and value from tile to tile in registers.
    """
    axis = staged_axis(kernel.program, kernel.wide)
    return "" if axis == split_axis(kernel) or (axis in (VALUES, kernel.wide) and kernel.walk != "each") else axis
