"""The part of an axis that one GPU program of a kernel holds at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from miras_compiler.emit.triton.stages import HIDDEN, VALUES, staged_axis
from miras_compiler.ir.nodes import PAST, Contract
from miras_compiler.ir.traverse import nodes_of
from miras_compiler.runtime.runtime_limits import refused_operands
from miras_compiler.schedule.facts import HALF
from miras_compiler.schedule.kernel import Kernel
from miras_compiler.schedule.separable import is_separable
from miras_compiler.schedule.tile import BLOCK, letter_of, padded


def blocks_of(kernel: Kernel, lengths: Mapping[str, int]) -> dict[str, int]:
    """The block of each axis that is longer than one: split over programs, or taken by one program block after block."""
    axis = split_axis(kernel) or blocked_axis(kernel)
    return {axis: BLOCK} if axis and lengths[axis] > BLOCK else {}


def operands_of(kernel: Kernel) -> tuple[tuple[str, str], ...]:
    """The operands of products over features, of which a program holds all at once, as pairs of tiles by the letters of their axes."""
    if not kernel.wide or kernel.wide in (split_axis(kernel), blocked_axis(kernel)):
        return ()
    products = [node for node in nodes_of(kernel.program) if isinstance(node, Contract) and kernel.wide in {*node.axes, *node.over}]
    found = {tuple("".join(map(letter_of, arg.axes)) for arg in node.args) for node in products}
    return tuple((a, b) for a, b in sorted(found))


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


def refused(kernels: Iterable[Kernel], lengths: Mapping[str, int]) -> str:
    """The first kernel that holds too many features, with its bytes and the widths that would fit; "" where all kernels run."""
    for kernel in kernels:
        blocks = {letter_of(axis): padded(length) for axis, length in lengths.items()} | {"C": padded(lengths["c"])}
        blocks |= {letter_of(axis): block for axis, block in blocks_of(kernel, lengths).items()}
        widths = {letter_of(axis): lengths[axis] for axis in ("k", PAST, "n", "v")}
        if told := refused_operands(operands_of(kernel), widths, blocks, HALF):
            return f"{kernel.name}: a tile with {told}"
    return ""
