"""The launches of a kernel that are worth a try at some widths, and why the others are not."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from miras_compiler.gpus.launch_table import ANY, FULL, Launch

WARPS = (4, 8, 16)
STAGES = (1, 2, 3)
BLOCKS = (128, 64, 32, 16)
REGISTERS = (FULL, 168, 128)
THREADS = 32  # of a warp
FILE = 65536  # registers of a processor
LARGEST = 0.38  # share of the registers that a tile may take: a product holds it beside its operands
FEW = 16  # rows of a tile in which a warp has work


def candidates(kernel: Any, sizes: Any, row: Any) -> list[Launch]:
    """The launches of a kernel for the sizes of one call, those last that may kill the process.

    `kernel` is a package's own `Launcher`, and `row` makes a row of its table.
    """
    found = [Launch(*each) for each in product(WARPS, STAGES, BLOCKS, REGISTERS)]
    return sorted((each for each in found if not why_untried(kernel, sizes, each, row)), key=lambda each: each.block < 64)


def why_untried(kernel: Any, sizes: Any, launch: Launch, row: Any) -> str:
    """Why a launch is not tried; "" where it is."""
    walks_tokens = hasattr(kernel, "states")  # else it walks tiles, or does all of them at once
    axis = "" if walks_tokens else kernel.split or kernel.blocked
    given = row(ANY, *launch)
    whole, blocks = kernel.blocks(sizes, row(ANY, *launch._replace(block=ANY))), kernel.blocks(sizes, given)
    if launch.block != 64 if not axis else launch.block > max(64, whole[f"B{axis}"]):
        return "no axis is so long"
    if launch.block < 32 and not kernel.walks:
        return "there are programs enough without so narrow a block"
    if launch.stages > 1 and (walks_tokens or not (kernel.walks or kernel.is_wide(sizes, given))):
        return "no loop loads ahead"
    if launch.stages > 2 and not kernel.walks:
        return "a loop over the blocks of a width has few turns"
    if any(programs(launch.warps, more) == programs(launch.warps, launch.registers) for more in REGISTERS if more > launch.registers):
        return "no more programs share a processor than with more registers"
    if not walks_tokens and launch.warps > 8:
        return "products of 64 rows keep no more than 8 warps busy"
    if not walks_tokens and launch.warps > 4 and min(blocks.values()) <= FEW:
        return "products of 16 rows keep no more than 4 warps busy"
    if kernel.safe(sizes, given) != given:
        return "wrong on Hopper: packages launch it with other warps or stages"
    if (
        max((math.prod(blocks[f"B{width}"] for width in tile) for tile in kernel.held), default=0)
        > LARGEST * THREADS * launch.warps * launch.registers
    ):
        return "a tile does not fit into the registers"
    return ""


def programs(warps: int, registers: int) -> int:
    """The number of programs that share a processor."""
    return FILE // (min(registers, 2048 // warps) * THREADS * warps)
