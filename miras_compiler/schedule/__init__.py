"""From a chunk program to kernels: what runs in which kernel, what is saved between them, and why."""

from __future__ import annotations

from miras_compiler.schedule.build import build_schedules, why_not
from miras_compiler.schedule.describe import describe_schedules
from miras_compiler.schedule.facts import KernelFacts, kernel_facts
from miras_compiler.schedule.kernel import Kernel, Schedule
from miras_compiler.schedule.tile import tile_length

__all__ = ["Kernel", "KernelFacts", "Schedule", "build_schedules", "describe_schedules", "kernel_facts", "tile_length", "why_not"]
