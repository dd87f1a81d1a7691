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
NARROW = 32  # columns of a block, see `why_untried`


def candidates(kernel: Any, sizes: Any, row: Any) -> list[Launch]:
    """The launches of a kernel for the sizes of one call, those last that may kill the process.

    `kernel` is a package's own `Launch`, and `row` makes a row of its table.
    """
    found = [Launch(*each) for each in product(WARPS, STAGES, BLOCKS, REGISTERS)]
    return sorted((each for each in found if not why_untried(kernel, sizes, each, row)), key=lambda each: each.block <= NARROW)


def why_untried(kernel: Any, sizes: Any, launch: Launch, row: Any) -> str:
    """Why a launch is not tried; "" where it is.

    On Hopper, Triton 3.6 compiles some launches with blocks of 32 columns or fewer into an illegal access or wrong results. With 8 warps it
    gives all of them rows of their own, of which a tile of 64 tokens has half as many, where a product goes into another one. Loops that
    load nothing ahead (one stage) went wrong in 49 of 54 tries on an H200, those that do in none of 104. Packages launch neither, whatever
    their table says.
    """
    walks_tokens = hasattr(kernel, "states")  # else it walks tiles, or does all of them at once
    axis = "" if walks_tokens else kernel.split or kernel.blocked
    whole, blocks = (kernel.blocks(sizes, row(ANY, *each)) for each in (launch._replace(block=ANY), launch))
    has_loop = kernel.walks or (kernel.blocked and blocks != whole)
    if launch.block != 64 if not axis else launch.block > max(64, whole[f"B{axis}"]):
        return "no axis is so long"
    if launch.block < NARROW and not kernel.walks:
        return "there are programs enough without so narrow a block"
    if launch.stages > 1 and (walks_tokens or not has_loop):
        return "no loop loads ahead"
    if launch.stages > 2 and not kernel.walks:
        return "a loop over the blocks of a width has few turns"
    if any(programs(launch.warps, more) == programs(launch.warps, launch.registers) for more in REGISTERS if more > launch.registers):
        return "no more programs share a processor than with more registers"
    if not walks_tokens and launch.warps > 8:
        return "products of 64 rows keep no more than 8 warps busy"
    if not walks_tokens and launch.warps > 4 and min(blocks.values()) <= NARROW:
        return "wrong on Hopper: too few rows for so many warps"
    if not walks_tokens and has_loop and launch.block <= NARROW and launch.stages == 1:
        return "wrong on Hopper: a loop over narrow blocks that loads nothing ahead"
    if (
        max((math.prod(blocks[f"B{width}"] for width in tile) for tile in kernel.held), default=0)
        > LARGEST * THREADS * launch.warps * launch.registers
    ):
        return "a tile does not fit into the registers"
    return ""


def programs(warps: int, registers: int) -> int:
    """The number of programs that share a processor."""
    return FILE // (min(registers, 2048 // warps) * THREADS * warps)
