"""From a chunk program to kernels: the tiles of each kernel, the tiles that are saved between them, and the reasons."""

from __future__ import annotations

from miras_compiler.schedule.build import Prepared, build_schedule, prepare_program, why_walked
from miras_compiler.schedule.describe import chunk_walks, describe_chunk_walks, describe_schedule, describe_walk
from miras_compiler.schedule.facts import KernelFacts, kernel_facts
from miras_compiler.schedule.kernel import Kernel, Schedule
from miras_compiler.schedule.starts import build_starts, states_alone
from miras_compiler.schedule.tile import tile_in_words, tile_lengths, why_too_large
from miras_compiler.schedule.walk import Walk, build_walk

__all__ = [
    "Kernel",
    "KernelFacts",
    "Prepared",
    "Schedule",
    "Walk",
    "build_schedule",
    "build_starts",
    "build_walk",
    "chunk_walks",
    "describe_chunk_walks",
    "describe_schedule",
    "describe_walk",
    "kernel_facts",
    "prepare_program",
    "states_alone",
    "tile_in_words",
    "tile_lengths",
    "why_too_large",
    "why_walked",
]
